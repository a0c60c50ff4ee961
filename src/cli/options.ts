import { generateSchema, loadSchema } from '../options.js'
import type { GenerateOptions, LoadOptions } from '../types.js'
import type { CliOption, CliOptions, OptionValue } from './command.js'
import { UsageError } from './errors.js'

type Schema = Readonly<Record<string, CliOption & { readonly cli?: boolean }>>

/** What the command line adds to the library's schema: short names, and choices where a value is one of a few words. */
const additions: Readonly<Record<string, Partial<CliOption>>> = {
  model: { alias: 'm' },
  maxTokens: { alias: 'n' },
  profile: { type: 'string', choices: ['qa', 'chat', 'code', 'none'] },
  flashAttention: { type: 'string', choices: ['auto', 'on', 'off'] },
  kvType: { type: 'string', choices: ['f16', 'bf16', 'f32'] },
}

/** Options of `Phi2.load`. */
export const loadFlags = fromSchema(loadSchema, 'Model:')

/** Options of one answer. */
export const generateFlags = fromSchema(generateSchema, 'Generation:')

export const fileFlag = {
  file: { type: 'string', alias: 'f', doc: 'Read the text from this file; - is standard input', group: 'Text:' },
} as const satisfies CliOptions

export const jsonFlag = {
  json: { type: 'boolean', doc: 'Print the result as JSON', group: 'Output:' },
} as const satisfies CliOptions

export const statsFlag = {
  stats: { type: 'boolean', doc: 'One line about each answer on standard error', group: 'Output:' },
} as const satisfies CliOptions

export const rawFlag = {
  raw: { type: 'boolean', doc: 'Print the text untouched: profile none, no newline added', group: 'Output:' },
} as const satisfies CliOptions

function fromSchema<S extends Schema>(schema: S, group: string): { readonly [Name in keyof S]: CliOption } {
  const flags = Object.entries<Schema[string]>(schema)
    .filter(([, { cli }]) => cli !== false)
    .map(([name, { cli: _, ...option }]) => [name, { ...option, ...additions[name], group }])
  return Object.fromEntries(flags)
}

/** Those of the given values that `Phi2.load` takes. */
export function loadOptions(values: Readonly<Record<string, unknown>>): LoadOptions {
  const options = pick(values, loadFlags)
  const { flashAttention } = options
  if (flashAttention === 'on' || flashAttention === 'off') options.flashAttention = flashAttention === 'on'
  // Every value was read by its entry in the schema (see readValue).
  return options as LoadOptions
}

/** Those of the given values that an answer takes. */
export function generateOptions(values: Readonly<Record<string, unknown>>): GenerateOptions {
  return pick(values, generateFlags) as GenerateOptions
}

function pick(values: Readonly<Record<string, unknown>>, flags: CliOptions): Record<string, unknown> {
  return Object.fromEntries(
    Object.keys(flags)
      .filter((name) => values[name] !== undefined)
      .map((name) => [name, values[name]]),
  )
}

/** `maxTokens` → `max-tokens` */
export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

/**
 * The value of an option from its text on the command line.
 * @throws {UsageError} naming what was expected and what was found
 */
export function readValue(name: string, option: CliOption, text: string): OptionValue {
  const fail = (expected: string): never => {
    throw new UsageError(`--${kebab(name)}: expected ${expected}, found ${JSON.stringify(text)}.`)
  }
  if (option.choices && !option.choices.includes(text)) return fail(`one of ${option.choices.join(', ')}`)
  switch (option.type) {
    case 'integer':
    case 'number': {
      const value = text.trim() === '' ? Number.NaN : Number(text)
      const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = option
      const right = option.type === 'integer' ? Number.isSafeInteger(value) : Number.isFinite(value)
      return right && value >= min && value <= max ? value : fail(`${article(option.type)}${range(option)}`)
    }
    case 'object':
      try {
        const value: unknown = JSON.parse(text)
        if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
      } catch {}
      return fail('a JSON object')
    default:
      return text
  }
}

function article(type: 'integer' | 'number'): string {
  return type === 'integer' ? 'an integer' : 'a number'
}

function range({ min, max }: CliOption): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`
  if (min !== undefined) return ` of at least ${min}`
  return max === undefined ? '' : ` of at most ${max}`
}
