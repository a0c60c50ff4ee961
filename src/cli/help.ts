import yargs from 'yargs'
import type { CliOptions, Command } from './command.js'
import { globalFlags, kebab } from './options.js'

/** The help of one command. */
export async function commandHelp(command: Command, width: number): Promise<string> {
  const help = start(width)
  help.usage([`phi2 ${command.usage}`, command.summary, ...(command.notes ? [command.notes] : [])].join('\n\n'))
  declare(help, { ...command.options, ...globalFlags })
  return `${await help.getHelp()}\n\n${formatExamples(command.examples, width)}`
}

/** The help of the whole program. */
export async function overview(commands: readonly Command[], width: number): Promise<string> {
  const help = start(width)
  help.usage(
    'phi2 [question…]\nphi2 <command> [options]\n\nPhi-2 in the terminal. A question alone is answered; phi2 alone at a terminal opens a chat.',
  )
  for (const { usage, summary } of commands) help.command(usage, summary)
  declare(help, globalFlags)
  help.epilogue('phi2 <command> --help shows its options. The model is --model FILE, or the environment’s PHI2_MODEL.')
  const examples = commands.flatMap((command) => command.examples.slice(0, 1))
  return `${await help.getHelp()}\n\n${formatExamples(examples, width)}`
}

function start(width: number) {
  return yargs([]).scriptName('phi2').help(false).version(false).detectLocale(false).wrap(width)
}

/** Not by yargs, which breaks long lines: an example is to be copied, so its text goes below it where there is no room. */
function formatExamples(examples: Command['examples'], width: number): string {
  const room = width - 4 - Math.max(...examples.map(([, what]) => what.length))
  const column = Math.max(4, ...examples.map(([line]) => line.length).filter((length) => length <= room))
  const lines = examples.map(([line, what]) => {
    const end = line.length <= column ? line.padEnd(column) : `${line}\n  ${' '.repeat(column)}`
    return `  ${end}  ${what}`
  })
  return `Examples:\n${lines.join('\n')}`
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
