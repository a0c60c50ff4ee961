import type { ChatAnswer, ChatOptions, GenerateOptions, RestoreStateOptions, SavedChat } from '../types.js'
import type { Streaming } from './answer.js'
import type { InputStream, OutputStream } from './command.js'
import { describeError, EXIT_FAILED, OutputClosed } from './errors.js'
import { formatStats, write, writeNote } from './output.js'
import { ProgressLine } from './progress-line.js'
import {
  completeCommand,
  count,
  type ReplChat,
  type ReplPhi2,
  type ReplSession,
  runReplCommand,
} from './repl-commands.js'
import { LineReader } from './repl-input.js'

export interface ReplStreams {
  readonly input: InputStream
  /** Answers. */
  readonly output: OutputStream
  /** What the program itself says. */
  readonly notes: OutputStream
  /** Where prompts and the typed line are shown; undefined when a program writes the input: then only answers appear. */
  readonly terminal: OutputStream | undefined
}

export interface ReplOptions {
  /** Speakers and head, or a saved chat to go on with. */
  readonly chat?: ChatOptions | SavedChat
  readonly generate?: GenerateOptions
  /** A line of statistics after each answer. */
  readonly stats?: boolean
  readonly debug?: boolean
  /** Ends the REPL: `runRepl` rejects with its reason. */
  readonly signal: AbortSignal
}

/**
 * A conversation over streams, until the input ends, `/exit`, or Ctrl-C twice at an empty prompt. Gives the exit code:
 * 0, or 1 when the input was a pipe and a turn failed (at a terminal the person has seen it).
 */
export async function runRepl(phi2: ReplPhi2, streams: ReplStreams, options: ReplOptions): Promise<number> {
  return new Repl(phi2, streams, options).run()
}

class Repl implements ReplSession {
  readonly phi2: ReplPhi2
  chat: ReplChat
  lastAnswer: ChatAnswer | undefined
  readonly #streams: ReplStreams
  readonly #options: ReplOptions
  readonly #reader: LineReader
  /** Stops the answer that is being printed, or other work that takes a moment. */
  #stop: AbortController | undefined
  #droppedTurns = 0
  #failed = false
  #leaving = false

  constructor(phi2: ReplPhi2, streams: ReplStreams, options: ReplOptions) {
    this.phi2 = phi2
    this.chat = phi2.chat(options.chat)
    this.#streams = streams
    this.#options = options
    this.#reader = new LineReader({
      input: streams.input,
      terminal: streams.terminal,
      completer: completeCommand,
      onInterrupt: () => this.#stop?.abort(),
    })
  }

  async run(): Promise<number> {
    const { signal } = this.#options
    const end = (): void => this.#reader.close()
    signal.addEventListener('abort', end)
    try {
      const { chat } = this.#options
      if (chat !== undefined && 'turns' in chat) await this.#restoreState(chat)
      await this.#converse()
      signal.throwIfAborted()
      return this.#failed && !this.#streams.terminal ? EXIT_FAILED : 0
    } finally {
      signal.removeEventListener('abort', end)
      this.#reader.close()
    }
  }

  async #converse(): Promise<void> {
    let interrupts = 0
    while (!this.#leaving) {
      const event = await this.#reader.next(`${this.chat.user}: `)
      if (event.type === 'end') {
        // The cursor stands behind the prompt.
        if (this.#streams.terminal) await write(this.#streams.terminal, '\n')
        return
      }
      if (event.type === 'interrupt') {
        interrupts = event.cleared ? 0 : interrupts + 1
        if (interrupts > 0 && this.#streams.terminal) await write(this.#streams.terminal, '\n')
        if (interrupts > 1) return
        if (interrupts > 0) await this.note('(Ctrl-D or /exit to leave)')
        continue
      }
      interrupts = 0
      await this.#take(event.text)
    }
  }

  /** One line: a command, something to say, or nothing. */
  async #take(line: string): Promise<void> {
    try {
      if (line.startsWith('/')) await runReplCommand(line, this)
      else if (line.trim() !== '') await this.#say(line.trim())
    } catch (error) {
      if (error instanceof OutputClosed || this.#options.signal.aborted) throw error
      this.#failed = true
      await this.note(describeError(error, this.#options.debug) ?? String(error))
    }
  }

  async #say(text: string): Promise<void> {
    await this.#answer((options) => this.chat.say(text, options), this.#options.generate)
  }

  async retry(): Promise<void> {
    // The same seed would give the same answer.
    const { seed: _, ...options } = this.#options.generate ?? {}
    await this.#answer((given) => this.chat.retry(given), options)
  }

  async open(saved: SavedChat): Promise<void> {
    this.chat = this.phi2.chat(saved)
    this.lastAnswer = undefined
    await this.#restoreState(saved)
  }

  async #restoreState({ state }: SavedChat): Promise<void> {
    if (state === undefined) return
    try {
      await this.wait('restoring', (options) => this.chat.restoreState(options))
    } catch (error) {
      if (this.#options.signal.aborted) throw error
      await this.note(`${describeError(error, this.#options.debug)}\nThe chat is read anew with the next message.`)
    }
  }

  async wait<T>(label: string, work: (options: RestoreStateOptions) => Promise<T>): Promise<T | undefined> {
    const progress = new ProgressLine(this.#streams.notes, label)
    try {
      return await this.#stoppable((signal) => work({ signal, onProgress: (fraction) => progress.update(fraction) }))
    } finally {
      progress.end()
    }
  }

  leave(): void {
    this.#leaving = true
  }

  async note(text: string): Promise<void> {
    await writeNote(this.#streams.notes, text)
  }

  async #answer(
    start: (options: GenerateOptions) => Streaming<ChatAnswer>,
    options: GenerateOptions = {},
  ): Promise<void> {
    const { output, terminal } = this.#streams
    await this.#stoppable(async (signal) => {
      const generation = start({ ...options, signal })
      if (terminal) await write(terminal, `${this.chat.assistant}: `)
      const answer = await this.#print(generation, output)
      this.lastAnswer = answer
      await this.#report(answer)
    })
  }

  /** Undefined when Ctrl-C stopped it. */
  async #stoppable<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    const stop = new AbortController()
    this.#stop = stop
    try {
      return await work(AbortSignal.any([stop.signal, this.#options.signal]))
    } catch (error) {
      if (!stop.signal.aborted || this.#options.signal.aborted || error instanceof OutputClosed) throw error
      await this.note('(stopped)')
      return undefined
    } finally {
      this.#stop = undefined
    }
  }

  /** Prints the answer as it comes, and ends its line even if it fails. */
  async #print(generation: Streaming<ChatAnswer>, output: OutputStream): Promise<ChatAnswer> {
    let last = ''
    const endLine = async (): Promise<void> => {
      if (!last.endsWith('\n')) await write(output, '\n')
    }
    try {
      for await (last of generation) await write(output, last)
    } catch (error) {
      if (last !== '' || this.#streams.terminal) await endLine()
      throw error
    }
    const answer = await generation
    await endLine()
    return answer
  }

  async #report(answer: ChatAnswer): Promise<void> {
    const { droppedTurns } = answer
    if (droppedTurns > 0 && droppedTurns !== this.#droppedTurns) {
      await this.note(`(the oldest ${count(droppedTurns, 'turn')} no longer fit and were left out)`)
    }
    this.#droppedTurns = droppedTurns
    if (this.#options.stats) await this.note(`(${formatStats(answer)})`)
  }
}
