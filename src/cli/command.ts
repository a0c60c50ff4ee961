import type { Readable, Writable } from 'node:stream'
import type { OptionSpec } from '../options.js'

export type InputStream = Readable & { isTTY?: boolean; setRawMode?: (mode: boolean) => unknown }
export type OutputStream = Writable & { isTTY?: boolean; columns?: number }

/** What a command touches of the process: given, so that commands run over fakes as well. */
export interface CliContext {
  readonly stdin: InputStream
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  readonly env: Readonly<Record<string, string | undefined>>
  /** Aborted with `Interrupted` by SIGINT and SIGTERM. */
  readonly signal: AbortSignal
}

/** One option of the command line, under its public camelCase name. */
export interface CliOption {
  readonly type: OptionSpec['type']
  readonly doc: string
  readonly because?: string
  readonly choices?: NonNullable<OptionSpec['choices']>
  /** For the help only: left out of the values, so that the library's own default holds. */
  readonly default?: unknown
  readonly alias?: string
  /** Heading in the help. */
  readonly group?: string
}

export type CliOptions = Readonly<Record<string, CliOption>>

export type OptionValue = string | number | boolean | string[] | number[] | object

// The first case is a list of commands, whose options are known only as CliOption.
type ValueOf<O extends CliOption> = CliOption extends O
  ? OptionValue
  : O['type'] extends 'integer' | 'number'
    ? number
    : O['type'] extends 'boolean'
      ? boolean
      : O['type'] extends 'strings'
        ? string[]
        : O['type'] extends 'numbers'
          ? number[]
          : O extends { readonly choices: readonly (infer Choice)[] }
            ? Choice
            : string

/** What was given on the command line; options that were not given are absent. */
export type Values<O extends CliOptions> = { readonly [Name in keyof O]?: ValueOf<O[Name]> | undefined }

export interface Invocation<O extends CliOptions = CliOptions> {
  readonly values: Values<O>
  /** The arguments that are not options, untouched. */
  readonly words: readonly string[]
  readonly context: CliContext
}

export interface Command<O extends CliOptions = CliOptions> {
  readonly name: string
  /** Synopsis after `phi2`. */
  readonly usage: string
  readonly summary: string
  /** Further paragraphs of the help. */
  readonly notes?: string
  readonly options: O
  readonly examples: readonly (readonly [command: string, what: string])[]
  /** Gives the exit code if it is not 0. Bivariant on purpose (a method): a list of commands mixes their options. */
  run(invocation: Invocation<O>): Promise<number | undefined>
}

/** Keeps the literal types of a command's options, so that its `run` sees typed values. */
export function defineCommand<const O extends CliOptions>(command: Command<O>): Command<O> {
  return command
}
