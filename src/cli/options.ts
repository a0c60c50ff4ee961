import { checkOptions, generateSchema, loadSchema, type OptionSpec } from '../options.js'
import type { GenerateOptions, LoadOptions } from '../types.js'
import type { CliOption, CliOptions, OptionValue } from './command.js'
import { UsageError } from './errors.js'

type Schema = Readonly<Record<string, OptionSpec>>

/** What the command line adds to the schema. */
const aliases: Readonly<Record<string, string>> = { model: 'm', maxTokens: 'n' }

/** Options that have another name here: `-n` has long been the number of tokens. */
const renamed = { n: 'choices' } as const
type Renamed = typeof renamed
type FlagName<Name> = Name extends keyof Renamed ? Renamed[Name] : Name

/** The options of a schema that the command line offers. */
type FlagsOf<S extends Schema> = {
  readonly [Name in keyof S as S[Name]['cli'] extends true ? FlagName<Name> : never]: S[Name] & CliOption
}

/** Options of `Phi2.load`. */
export const loadFlags = fromSchema(loadSchema, 'Model:')

/** Options of one answer. */
export const generateFlags = fromSchema(generateSchema, 'Generation:')

export const globalFlags = {
  help: { type: 'boolean', alias: 'h', doc: 'Show this help' },
  version: { type: 'boolean', doc: 'Show the version' },
} as const satisfies CliOptions

export const fileFlag = {
  file: { type: 'string', alias: 'f', doc: 'Read the text from this file; - is standard input', group: 'Text:' },
} as const satisfies CliOptions

export const jsonFlag = {
  json: { type: 'boolean', doc: 'Print the result as JSON', group: 'Output:' },
} as const satisfies CliOptions

export const forceFlag = {
  force: { type: 'boolean', doc: 'Replace the file if it is there already', group: 'Output:' },
} as const satisfies CliOptions

export const statsFlag = {
  stats: { type: 'boolean', doc: 'One line about each answer on standard error', group: 'Output:' },
} as const satisfies CliOptions

export const rawFlag = {
  raw: { type: 'boolean', doc: 'Print the text untouched: profile none, no newline added', group: 'Output:' },
} as const satisfies CliOptions

/** The options of a schema under one heading of the help. */
export function fromSchema<S extends Schema>(schema: S, group: string): FlagsOf<S> {
  const flags = Object.entries<OptionSpec>(schema)
    .filter(([, { cli }]) => cli)
    .map(([name, spec]) => [flagName(name), { ...spec, group, ...(aliases[name] ? { alias: aliases[name] } : {}) }])
  return Object.fromEntries(flags)
}

/**
 * Those of the given values that `Phi2.load` takes, checked here already, so that a mistake shows before anything is read.
 * @throws TypeError or RangeError with the code `PHI2_INVALID_OPTION`
 */
export function loadOptions(values: Readonly<Record<string, unknown>>): LoadOptions {
  return checkOptions<LoadOptions>(pick(values, loadFlags), loadSchema)
}

/**
 * Those of the given values that an answer takes, checked likewise.
 * @throws TypeError or RangeError with the code `PHI2_INVALID_OPTION`
 */
export function generateOptions(values: Readonly<Record<string, unknown>>): GenerateOptions {
  // By the names they have here, which then stand in the messages.
  const given: Readonly<Record<string, unknown>> = checkOptions(pick(values, generateFlags), generateFlags)
  const named = Object.fromEntries(Object.keys(generateSchema).map((name) => [name, given[flagName(name)]]))
  return pick(named, generateSchema)
}

function flagName(name: string): string {
  return name in renamed ? renamed[name as keyof Renamed] : name
}

/** Those of the values that are of these options and were given. */
export function pick(values: Readonly<Record<string, unknown>>, flags: CliOptions): Record<string, unknown> {
  const given = Object.keys(flags).filter((name) => values[name] !== undefined)
  return Object.fromEntries(given.map((name) => [name, values[name]]))
}

/** `maxTokens` → `max-tokens` */
export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

/**
 * The value of an option from its text on the command line. Ranges are left to the library's check, which knows them.
 * @throws {UsageError} when the text cannot be such a value
 */
export function readValue(name: string, option: CliOption, text: string): OptionValue {
  const fail = (expected: string): never => {
    const reason = option.because === undefined ? '' : ` ${option.because}`
    throw new UsageError(`--${kebab(name)}: expected ${expected}, found ${JSON.stringify(text)}.${reason}`)
  }
  const { choices, type } = option
  if (choices) {
    return choices.find((choice) => String(choice) === text) ?? fail(`one of ${choices.join(', ')}`)
  }
  if (type === 'object') return readObject(text) ?? fail('a JSON object')
  if (type === 'numbers') {
    const numbers = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)))
    return numbers.every(Number.isFinite) ? numbers : fail('numbers separated by commas')
  }
  if (type !== 'integer' && type !== 'number') return text
  const value = text.trim() === '' ? Number.NaN : Number(text)
  return Number.isFinite(value) ? value : fail(type === 'integer' ? 'an integer' : 'a number')
}

function readObject(text: string): OptionValue | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}
