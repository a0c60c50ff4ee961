import { printable } from '../printable.js'

/** Exit codes: 0 done · 1 failed · 2 wrong usage · 130, 143 ended by SIGINT, SIGTERM (128 + the signal's number, as shells count). */
export const EXIT_FAILED = 1
export const EXIT_USAGE = 2

/** The command line itself is wrong. The message says what was expected, what was found and what to write instead. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Reason of the abort signal when the process is asked to end. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
  readonly exitCode: number

  constructor(readonly signalName: 'SIGINT' | 'SIGTERM') {
    super(`Ended by ${signalName}`)
    this.exitCode = signalName === 'SIGINT' ? 130 : 143
  }
}

/** Nobody reads standard output any more, as in `phi2 … | head -1`: a reason to stop, not a failure. */
export class OutputClosed extends Error {
  override readonly name = 'OutputClosed'
}

/** The code that an error carries: one of this package's, or the system's (`ENOENT`). */
export function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined
  return typeof code === 'string' ? code : undefined
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof OutputClosed) return 0
  if (error instanceof Interrupted) return error.exitCode
  // The library checks options at its own edge too: a value out of range is wrong usage wherever it was noticed.
  if (error instanceof UsageError || codeOf(error) === 'PHI2_INVALID_OPTION') return EXIT_USAGE
  return EXIT_FAILED
}

/**
 * What to print for an error on standard error; nothing when the process was only asked to end. Messages repeat what
 * stands in files and comes from servers, so what could steer the terminal is escaped.
 */
export function describeError(error: unknown, debug = false): string | undefined {
  if (error instanceof OutputClosed || error instanceof Interrupted) return undefined
  if (debug && error instanceof Error && error.stack) return printable(`phi2: ${error.stack}`)
  const message = printable(error instanceof Error ? error.message : String(error))
  const code = codeOf(error)
  return code === undefined ? `phi2: ${message}` : `phi2: ${message} (${code})`
}
