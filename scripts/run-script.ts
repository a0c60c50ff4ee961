import { Phi2Error } from '../src/errors.js'

/** Runs a command's story, which the first signal ends in order; an error of this package's ends it with its message. */
export async function runScript(story: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const interrupt = new AbortController()
  for (const [name, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    process.once(name, () => {
      process.exitCode = code
      interrupt.abort()
    })
  }
  try {
    await story(interrupt.signal)
  } catch (error) {
    if (interrupt.signal.aborted) return
    if (!(error instanceof Phi2Error)) throw error
    process.stderr.write(`phi2: ${error.message}\n`)
    process.exitCode = 1
  }
}
