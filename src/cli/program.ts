import Parser from 'yargs-parser'
import { packageVersion } from '../package-root.js'
import type { CliContext, CliOption, CliOptions, Command, OptionValue } from './command.js'
import { UsageError } from './errors.js'
import { globalFlags, kebab, readValue } from './options.js'
import { write } from './output.js'
import { mistypedCommand, nearestOption } from './suggest.js'

/** A command by its name; its module is loaded only where it is wanted. */
export interface CommandEntry {
  readonly name: string
  load(): Promise<Command>
}

export interface Program {
  readonly commands: readonly CommandEntry[]
  /** Runs when no command is named and there is something to answer. */
  readonly fallback: CommandEntry
  /** Runs when `phi2` alone is typed at a terminal. */
  readonly interactive: CommandEntry
}

/**
 * Runs what `args` (without node and script) ask for and gives the exit code.
 *
 * yargs reads the options and formats the help; choosing the command is done here, because yargs' own dispatch would
 * take a prompt that ends in the word `help` for a request for help, and a prompt after `--` for options.
 */
export async function runProgram(program: Program, args: readonly string[], context: CliContext): Promise<number> {
  const { commands } = program
  const first = await readFirst(program, args)
  const named = first.quoted ? undefined : find(commands, first.words[0])

  if (first.values.version === true) {
    await write(context.stdout, `${packageVersion()}\n`)
    return 0
  }
  const helpWord = !first.quoted && first.words[0] === 'help' && first.words.length <= 2
  if (helpWord || first.values.help === true) {
    const topic = helpWord ? find(commands, first.words[1]) : named
    if (helpWord && first.words.length === 2 && !topic) throw unknownCommand(first.words[1]!, commands)
    await write(context.stdout, `${await programHelp(program, topic, context.stdout.columns)}\n`)
    return 0
  }

  if (!named) {
    const meant = first.quoted ? undefined : mistypedCommand(first.words, names(commands))
    if (meant) throw unknownCommand(first.words[0]!, commands)
  }
  const atTerminal = context.stdin.isTTY === true && context.stdout.isTTY === true
  const alone = first.words.length === 0 && first.values.file === undefined && atTerminal
  const command = await (named ?? (alone ? program.interactive : program.fallback)).load()

  const { unknown, values, words } = readArguments(args, { ...globalFlags, ...command.options })
  if (unknown.length > 0) throw unknownOption(unknown[0]!, command, named !== undefined)
  return (await command.run({ values, words: named ? words.slice(1) : words, context })) ?? 0
}

/**
 * A reading that tells words from values of options. An option means the same in every command, so those of one are
 * enough, unless the command is not certain yet and there are options that are not of the likely one.
 */
async function readFirst({ commands, fallback }: Program, args: readonly string[]): Promise<Arguments> {
  const named = find(commands, args[0])
  const { options } = await (named ?? fallback).load()
  const first = readArguments(args, { ...globalFlags, ...options })
  if (named || first.unknown.length === 0) return first
  const all = await loadCommands(commands)
  return readArguments(args, Object.assign({}, globalFlags, ...all.map((command) => command.options)))
}

export function loadCommands(commands: readonly CommandEntry[]): Promise<Command[]> {
  return Promise.all(commands.map((command) => command.load()))
}

/** The help of one command, or of the whole program. */
export async function programHelp(
  { commands }: Program,
  topic: CommandEntry | undefined,
  columns = 100,
): Promise<string> {
  const width = Math.min(columns, 110)
  const [{ commandHelp, overview }, shown] = await Promise.all([
    import('./help.js'),
    loadCommands(topic ? [topic] : commands),
  ])
  return topic ? commandHelp(shown[0]!, width) : overview(shown, width)
}

interface Arguments {
  /** By camelCase name, read by the option's type. */
  values: Record<string, OptionValue>
  words: string[]
  /** As typed, dashes included. */
  unknown: string[]
  /** All words came after `--`: they are text, no command among them. */
  quoted: boolean
}

function readArguments(args: readonly string[], options: CliOptions): Arguments {
  const entries = Object.entries(options)
  const valued = entries.filter(([, option]) => option.type !== 'boolean').map(([name]) => kebab(name))
  const { argv, error } = Parser.detailed([...args], {
    string: valued,
    narg: Object.fromEntries(valued.map((name) => [name, 1])),
    array: entries.filter(([, option]) => option.type === 'strings').map(([name]) => kebab(name)),
    boolean: entries.filter(([, option]) => option.type === 'boolean').map(([name]) => kebab(name)),
    alias: Object.fromEntries(entries.flatMap(([name, { alias }]) => (alias ? [[kebab(name), alias]] : []))),
    configuration: {
      'camel-case-expansion': false,
      'dot-notation': false,
      'greedy-arrays': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
      'populate--': true,
      'strip-aliased': true,
    },
  })
  if (error) throw new UsageError(`${error.message}. A value that begins with a dash is written --option=value.`)

  const { _: plain, '--': literal = [], ...found } = argv as Record<string, unknown> & { _: string[]; '--'?: string[] }
  const byFlag = new Map(entries.map(([name, option]) => [kebab(name), { name, option }]))
  const values: Record<string, OptionValue> = {}
  const unknown: string[] = []
  for (const [flag, value] of Object.entries(found)) {
    const known = byFlag.get(flag)
    if (known) values[known.name] = readFound(known.name, known.option, value, args)
    else unknown.push(flag.length === 1 ? `-${flag}` : `--${flag}`)
  }
  return { values, words: [...plain, ...literal], unknown, quoted: plain.length === 0 }
}

function readFound(name: string, option: CliOption, value: unknown, args: readonly string[]): OptionValue {
  const flag = `--${kebab(name)}`
  if (option.type === 'boolean') {
    // The parser reads any text but "true" as false.
    const odd = args.find((arg) => arg.startsWith(`${flag}=`) && !/=(true|false)$/.test(arg))
    if (odd) throw new UsageError(`${flag} takes no value, found ${odd}.`)
    return value === true
  }
  if (option.type === 'strings' && Array.isArray(value)) {
    return value.map((text) => needText(flag, text))
  }
  if (Array.isArray(value)) throw new UsageError(`${flag} was given ${value.length} times; it takes one value.`)
  return readValue(name, option, needText(flag, value))
}

/** `--no-model`, `--model=` and `-mx` leave a valued option without its text. */
function needText(flag: string, value: unknown): string {
  if (typeof value === 'string' && value !== '') return value
  throw new UsageError(`${flag} needs a value.`)
}

function unknownCommand(found: string, commands: readonly CommandEntry[]): UsageError {
  const meant = mistypedCommand([found], names(commands))
  const hint = meant ? `Did you mean ${meant}?` : `The commands are ${names(commands).join(', ')}.`
  return new UsageError(`Unknown command ${found}. ${hint} To ask it as a question: phi2 ask ${found} …`)
}

function unknownOption(found: string, command: Command, named: boolean): UsageError {
  const flags = Object.keys({ ...globalFlags, ...command.options }).map(kebab)
  const meant = nearestOption(kebab(found.replace(/^-+/, '')), flags)
  const hint = meant ? `Did you mean --${meant}?` : 'Put -- before a prompt that begins with a dash.'
  const where = named ? ` for phi2 ${command.name}` : ''
  return new UsageError(`Unknown option ${found}${where}. ${hint}`)
}

function find(commands: readonly CommandEntry[], name: string | undefined): CommandEntry | undefined {
  return commands.find((command) => command.name === name)
}

function names(commands: readonly CommandEntry[]): string[] {
  return commands.map((command) => command.name)
}
