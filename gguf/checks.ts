import { optionError } from '../src/errors.js'

/** @throws {TypeError} `PHI2_INVALID_OPTION` */
export function checkText(name: string, value: unknown): void {
  if (typeof value === 'string' && value !== '' && !value.includes('\0')) return
  throw optionError('type', `Expected a text that is not empty for ${name} but received ${describe(value)}`)
}

/** @throws {TypeError | RangeError} `PHI2_INVALID_OPTION` */
export function checkInteger(name: string, value: unknown, min: number, max: number): void {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return
  const kind = typeof value === 'number' ? 'range' : 'type'
  throw optionError(kind, `Expected an integer from ${min} to ${max} for ${name} but received ${describe(value)}`)
}

/** @throws {TypeError | RangeError} `PHI2_INVALID_OPTION` */
export function checkChoice(name: string, value: unknown, choices: readonly string[]): void {
  if (typeof value === 'string' && choices.includes(value)) return
  const kind = typeof value === 'string' ? 'range' : 'type'
  throw optionError(kind, `Expected one of ${choices.join(', ')} for ${name} but received ${describe(value)}`)
}

/** @throws {TypeError} `PHI2_INVALID_OPTION` */
export function checkBoolean(name: string, value: unknown): void {
  if (typeof value === 'boolean') return
  throw optionError('type', `Expected true or false for ${name} but received ${describe(value)}`)
}

/** Every option of a function by its name; the compiler sees to it that none is missing. */
export type OptionNames<T> = Readonly<Record<keyof T, true>>

/**
 * That there are options, that all of them are known, and that those which all long work takes are right. An option that was
 * mistyped must not be ignored.
 * @throws {TypeError} `PHI2_INVALID_OPTION`
 */
export function checkWork<T extends object>(options: T, names: OptionNames<T>): void {
  const refuse = (expected: string, value: unknown) =>
    optionError('type', `Expected ${expected} but received ${describe(value)}`)
  if (typeof options !== 'object' || options === null) throw refuse('an object for options', options)
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(names, name))
  if (unknown !== undefined) {
    throw optionError('type', `Unknown option ${unknown}. Known are: ${Object.keys(names).join(', ')}`)
  }
  const { signal, onProgress } = options as { signal?: unknown; onProgress?: unknown }
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw refuse('an AbortSignal for signal', signal)
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw refuse('a function for onProgress', onProgress)
}

/** A wrong value, for messages. */
export function describe(value: unknown): string {
  return `${typeof value === 'string' ? JSON.stringify(value) : String(value)} of type ${typeof value}`
}
