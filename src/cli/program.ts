import yargs from 'yargs'
import { Parser } from 'yargs/helpers'
import { packageVersion } from '../package-root.js'
import type { CliContext, CliOption, CliOptions, Command, OptionValue } from './command.js'
import { UsageError } from './errors.js'
import { kebab, readValue } from './options.js'
import { write } from './output.js'
import { mistypedCommand, nearestOption } from './suggest.js'

export interface Program {
  readonly commands: readonly Command[]
  /** Runs when no command is named and there is something to answer. */
  readonly fallback: Command
  /** Runs when `phi2` alone is typed at a terminal. */
  readonly interactive: Command
}

const globalFlags: CliOptions = {
  help: { type: 'boolean', alias: 'h', doc: 'Show this help' },
  version: { type: 'boolean', doc: 'Show the version' },
}

/**
 * Runs what `args` (without node and script) ask for and gives the exit code.
 *
 * yargs reads the options and formats the help; choosing the command is done here, because yargs' own dispatch would
 * take a prompt that ends in the word `help` for a request for help, and a prompt after `--` for options.
 */
export async function runProgram(program: Program, args: readonly string[], context: CliContext): Promise<number> {
  const { commands } = program
  // Which words are values of options is known only when all options are: a first reading, with the options of all.
  const everything = Object.assign({}, globalFlags, ...commands.map((command) => command.options)) as CliOptions
  const first = readArguments(args, everything)
  const named = first.quoted ? undefined : commands.find((command) => command.name === first.words[0])

  if (first.values.version === true) {
    await write(context.stdout, `${packageVersion()}\n`)
    return 0
  }
  const helpWord = !first.quoted && first.words[0] === 'help' && first.words.length <= 2
  if (helpWord || first.values.help === true) {
    const topic = helpWord ? commands.find((command) => command.name === first.words[1]) : named
    if (helpWord && first.words.length === 2 && !topic) throw unknownCommand(first.words[1]!, commands)
    await write(context.stdout, `${await helpText(program, topic, context.stdout.columns)}\n`)
    return 0
  }

  if (!named) {
    const meant = first.quoted ? undefined : mistypedCommand(first.words, names(commands))
    if (meant) throw unknownCommand(first.words[0]!, commands)
  }
  const atTerminal = context.stdin.isTTY === true && context.stdout.isTTY === true
  const alone = first.words.length === 0 && first.values.file === undefined && atTerminal
  const command = named ?? (alone ? program.interactive : program.fallback)

  const { unknown, values, words } = readArguments(args, { ...globalFlags, ...command.options })
  if (unknown.length > 0) throw unknownOption(unknown[0]!, command, named !== undefined)
  return (await command.run({ values, words: named ? words.slice(1) : words, context })) ?? 0
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

function unknownCommand(found: string, commands: readonly Command[]): UsageError {
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

function names(commands: readonly Command[]): string[] {
  return commands.map((command) => command.name)
}

/** The help of one command, or of the whole program. */
export async function helpText(program: Program, command: Command | undefined, columns = 100): Promise<string> {
  const width = Math.min(columns, 110)
  const help = yargs([]).scriptName('phi2').help(false).version(false).detectLocale(false).wrap(width)
  if (command) {
    help.usage([`phi2 ${command.usage}`, command.summary, ...(command.notes ? [command.notes] : [])].join('\n\n'))
    declare(help, { ...command.options, ...globalFlags })
  } else {
    help.usage(
      'phi2 [question…]\nphi2 <command> [options]\n\nPhi-2 in the terminal. A question alone is answered; phi2 alone at a terminal opens a chat.',
    )
    for (const { usage, summary } of program.commands) help.command(usage, summary)
    declare(help, globalFlags)
    help.epilogue(
      'phi2 <command> --help shows its options. The model is --model FILE, or the environment’s PHI2_MODEL.',
    )
  }
  const examples = command?.examples ?? program.commands.flatMap(({ examples }) => examples.slice(0, 1))
  return `${await help.getHelp()}\n\nExamples:\n${formatExamples(examples, width)}`
}

/** Not by yargs, which breaks long lines: an example is to be copied, so its text goes below it where there is no room. */
function formatExamples(examples: Command['examples'], width: number): string {
  const room = width - 4 - Math.max(...examples.map(([, what]) => what.length))
  const column = Math.max(4, ...examples.map(([line]) => line.length).filter((length) => length <= room))
  return examples
    .map(([line, what]) => {
      const end = line.length <= column ? line.padEnd(column) : `${line}\n  ${' '.repeat(column)}`
      return `  ${end}  ${what}`
    })
    .join('\n')
}

function declare(help: ReturnType<typeof yargs>, options: CliOptions): void {
  for (const [name, option] of Object.entries(options)) {
    help.option(kebab(name), {
      describe: option.doc,
      type:
        option.type === 'integer' || option.type === 'number'
          ? 'number'
          : option.type === 'boolean'
            ? 'boolean'
            : 'string',
      ...(option.type === 'strings' ? { array: true } : {}),
      ...(option.alias ? { alias: option.alias } : {}),
      ...(option.choices ? { choices: option.choices.map(String) } : {}),
      ...(option.default !== undefined ? { defaultDescription: String(option.default) } : {}),
      ...(option.group ? { group: option.group } : {}),
    })
  }
}
