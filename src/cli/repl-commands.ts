import type {
  ChatAnswer,
  ChatOptions,
  ChatTurn,
  GenerateOptions,
  ModelInfo,
  RestoreStateOptions,
  SavedChat,
  SaveStateOptions,
} from '../types.js'
import type { Streaming } from './answer.js'
import { readChat, stateFile, writeChat } from './chat-file.js'
import { formatBytes, formatPairs, formatStats, formatTable } from './output.js'
import { nearestOption } from './suggest.js'

/** What the REPL needs of a `Chat`. */
export interface ReplChat {
  readonly turns: readonly ChatTurn[]
  readonly transcript: string
  readonly user: string
  readonly assistant: string
  say(text: string, options?: GenerateOptions): Streaming<ChatAnswer>
  retry(options?: GenerateOptions): Streaming<ChatAnswer>
  undo(): ChatTurn | undefined
  reset(): void
  save(): SavedChat
  save(options: SaveStateOptions): Promise<SavedChat>
  restoreState(options?: RestoreStateOptions): Promise<number>
}

/** What the REPL needs of a `Phi2`. */
export interface ReplPhi2 {
  readonly info: Pick<ModelInfo, 'sequenceSize'>
  chat(options?: ChatOptions | SavedChat): ReplChat
  countTokens(text: string): Promise<number>
}

/** What a command may do with the running REPL. */
export interface ReplSession {
  readonly phi2: ReplPhi2
  chat: ReplChat
  /** The last answer of this session that came to its end. */
  lastAnswer: ChatAnswer | undefined
  /** Something said by the program, not by the model. */
  note(text: string): Promise<void>
  retry(): Promise<void>
  /** Goes on with another chat. */
  open(chat: SavedChat): Promise<void>
  /** Work that may take a moment: shown at a terminal. Gives undefined, and has said so, when Ctrl-C stopped it. */
  wait<T>(label: string, work: (options: RestoreStateOptions) => Promise<T>): Promise<T | undefined>
  leave(): void
}

export interface ReplCommand {
  readonly name: string
  /** Placeholder of its one argument, the rest of the line; a command without one takes none. */
  readonly argument?: string
  readonly doc: string
  run(session: ReplSession, argument: string): void | Promise<void>
}

export const replCommands: readonly ReplCommand[] = [
  {
    name: 'help',
    doc: 'show the commands',
    run: (session) => session.note(helpText()),
  },
  {
    name: 'reset',
    doc: 'forget all turns, keep the head',
    run: async (session) => {
      session.chat.reset()
      session.lastAnswer = undefined
      await session.note('All turns are forgotten.')
    },
  },
  {
    name: 'undo',
    doc: 'take the last turn back',
    run: async (session) => {
      const turn = session.chat.undo()
      session.lastAnswer = undefined
      await session.note(turn ? `Taken back: ${turn.user}` : 'There is no turn to take back.')
    },
  },
  {
    name: 'retry',
    doc: 'answer the last turn again, with another seed',
    run: async (session) => {
      if (session.chat.turns.length === 0) await session.note('There is no turn to answer again.')
      else await session.retry()
    },
  },
  {
    name: 'save',
    argument: '<file> [--state]',
    doc: 'write the chat to a file; --state: with its KV cache in <file>.kv',
    async run(session, argument) {
      const [, given, flag] = /^(.*?)(?:\s+(--\S*))?$/s.exec(argument)!
      if (flag !== undefined && flag !== '--state') return session.note(`Usage: ${usage(this)}`)
      const path = unquote(given!)
      const { chat } = session
      const saved = flag
        ? await session.wait('saving', (options) => chat.save({ ...options, state: stateFile(path) }))
        : chat.save()
      if (saved === undefined) return
      await writeChat(path, saved)
      const size = saved.state ? `, with ${formatBytes(saved.state.bytes)} of state` : ''
      await session.note(`Saved ${count(saved.turns.length, 'turn')} to ${path}${size}`)
    },
  },
  {
    name: 'load',
    argument: '<file>',
    doc: 'go on with a saved chat',
    run: async (session, path) => {
      const saved = await readChat(path)
      await session.open(saved)
      await session.note(`Loaded ${count(saved.turns.length, 'turn')} from ${path}`)
    },
  },
  {
    name: 'stats',
    doc: 'length of the chat, speed of the last answer',
    run: async (session) => {
      const { chat, phi2, lastAnswer } = session
      const { transcript } = chat
      const tokens = transcript === '' ? 0 : await phi2.countTokens(transcript)
      await session.note(
        formatPairs([
          ['turns', String(chat.turns.length)],
          ['chat', `${tokens} tokens; ${phi2.info.sequenceSize} fit`],
          ['last answer', lastAnswer ? formatStats(lastAnswer) : 'none yet'],
        ]),
      )
    },
  },
  {
    name: 'exit',
    doc: 'leave (as Ctrl-D does)',
    run: (session) => session.leave(),
  },
]

function helpText(): string {
  const rows = replCommands.map((command) => [usage(command), command.doc])
  return [
    formatTable(rows),
    'Ctrl-C stops an answer and keeps what was said so far. Ctrl-D leaves.',
    'To say something that begins with a slash, put a space before it.',
  ].join('\n')
}

function usage({ name, argument }: ReplCommand): string {
  return argument ? `/${name} ${argument}` : `/${name}`
}

/** Runs a line that begins with a slash. Names that are not a command are answered with those that are. */
export async function runReplCommand(line: string, session: ReplSession): Promise<void> {
  const [, name = '', rest = ''] = /^\/(\S*)\s*(.*)$/s.exec(line) ?? []
  const command = replCommands.find((candidate) => candidate.name === name)
  if (!command) {
    const meant = nearestOption(
      name,
      replCommands.map((candidate) => candidate.name),
    )
    const hint = meant ? ` Did you mean /${meant}?` : ''
    await session.note(`Unknown command /${name}.${hint} The commands are ${replCommands.map(usage).join(', ')}.`)
    return
  }
  const argument = unquote(rest.trim())
  if ((argument === '') === (command.argument !== undefined)) {
    await session.note(`Usage: ${usage(command)}`)
    return
  }
  await command.run(session, argument)
}

/** A file name may have spaces as it is; quotes around the whole of it, a habit from the shell, are taken off. */
function unquote(text: string): string {
  const [, , inner] = /^(["'])(.+)\1$/s.exec(text) ?? []
  return inner ?? text
}

/** Tab completes the names of commands. */
export function completeCommand(line: string): [matches: string[], part: string] {
  const matches = line.startsWith('/') ? replCommands.map(({ name }) => `/${name}`) : []
  return [matches.filter((command) => command.startsWith(line)), line]
}

export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
