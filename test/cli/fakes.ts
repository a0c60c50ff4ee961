import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { PassThrough, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Chat } from '../../src/chat.js'
import type { CliContext, InputStream, OutputStream } from '../../src/cli/command.js'
import type { ReplChat, ReplPhi2 } from '../../src/cli/repl-commands.js'
import type { Phi2 } from '../../src/phi2.js'
import type {
  ChatAnswer,
  ChatOptions,
  ChatTurn,
  GenerateOptions,
  SavedChat,
  SaveStateOptions,
} from '../../src/types.js'

// The fakes stand for the real classes: these lines stop compiling when the two part.
type Fits<Real extends Fake, Fake> = Real
export type RealChat = Fits<Chat, ReplChat>
export type RealPhi2 = Fits<Phi2, ReplPhi2>

/** Keeps what is written to it. */
export class Sink extends Writable {
  text = ''
  readonly isTTY: boolean
  readonly columns: number
  readonly #failure: Error | undefined

  constructor({ isTTY = false, columns = 100, failure }: { isTTY?: boolean; columns?: number; failure?: Error } = {}) {
    super({ decodeStrings: false })
    this.isTTY = isTTY
    this.columns = columns
    this.#failure = failure
    this.on('error', () => {})
  }

  override _write(chunk: Buffer | string, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    if (!this.#failure) this.text += chunk.toString()
    done(this.#failure)
  }
}

/** Standard input of a terminal: remembers whether it was put into raw mode. */
export class Keyboard extends PassThrough {
  readonly isTTY = true
  isRaw = false

  setRawMode(mode: boolean): this {
    this.isRaw = mode
    return this
  }
}

/** Standard input that a program or a file writes. */
export function piped(text: string): InputStream {
  const stream = new PassThrough()
  stream.end(text)
  return stream
}

export function fakeContext(given: Partial<CliContext> = {}): CliContext & { stdout: OutputStream & { text: string } } {
  return {
    stdin: piped(''),
    stdout: new Sink(),
    stderr: new Sink(),
    env: {},
    signal: new AbortController().signal,
    ...given,
  } as CliContext & { stdout: OutputStream & { text: string } }
}

/** Waits until something holds, and says what was there when it never does. */
export async function until(holds: () => boolean, describe: () => string, timeoutMs = 5000): Promise<void> {
  const end = Date.now() + timeoutMs
  while (!holds()) {
    if (Date.now() > end) throw new Error(`It never came to be. What was there: ${JSON.stringify(describe())}`)
    await sleep(5)
  }
}

/** What the fake model says to a line. */
export interface Reply {
  readonly chunks: readonly string[]
  /** After the chunks it goes on for ever, until it is aborted. */
  readonly endless?: boolean
  readonly failure?: Error
  readonly droppedTurns?: number
  /** Texts of further answers to the same. */
  readonly others?: readonly string[]
}

export function answerOf(text: string, droppedTurns = 0): ChatAnswer {
  return {
    text,
    finishReason: 'stop',
    stop: '<|endoftext|>',
    usage: {
      promptTokens: 20,
      completionTokens: 8,
      totalTokens: 28,
      cachedTokens: 12,
      acceptedPredictionTokens: 0,
      rejectedPredictionTokens: 0,
    },
    timings: { queueMs: 0, promptMs: 100, decodeMs: 400, tokensPerSecond: 17.5 },
    seed: 7,
    tokens: [1, 2, 3],
    droppedTurns,
  }
}

/** A generation with the contract of the real one: iterable, awaitable, and rejecting with the signal's reason. */
export class FakeGeneration implements AsyncIterable<string>, PromiseLike<ChatAnswer> {
  text = ''
  readonly #reply: Reply
  readonly #signal: AbortSignal | undefined
  readonly #settle: (text: string) => void

  constructor(reply: Reply, signal: AbortSignal | undefined, settle: (text: string) => void) {
    this.#reply = reply
    this.#signal = signal
    this.#settle = settle
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void> {
    const { chunks, endless, failure } = this.#reply
    try {
      for (const chunk of chunks) {
        await sleep(1)
        this.#signal?.throwIfAborted()
        this.text += chunk
        yield chunk
      }
      if (failure) throw failure
      while (endless) {
        await sleep(1)
        this.#signal?.throwIfAborted()
      }
    } finally {
      this.#settle(this.text)
    }
  }

  // biome-ignore lint/suspicious/noThenProperty: the real one is awaitable
  then<A = ChatAnswer, B = never>(
    resolved?: ((answer: ChatAnswer) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): PromiseLike<A | B> {
    const { failure, droppedTurns, others } = this.#reply
    const reason = failure ?? (this.#signal?.aborted ? this.#signal.reason : undefined)
    const first = answerOf(this.text, droppedTurns)
    const choices = others && [first, ...others.map((text) => answerOf(text, droppedTurns))]
    const outcome = reason ? Promise.reject(reason) : Promise.resolve(choices ? { ...first, choices } : first)
    return outcome.then(resolved, rejected)
  }
}

export class FakeChat implements ReplChat {
  turns: ChatTurn[]
  readonly user: string
  readonly assistant: string
  readonly head: string
  /** The options of each answer so far. */
  readonly asked: GenerateOptions[] = []
  readonly #reply: (text: string) => Reply
  readonly #state: string | undefined
  restoredFrom: string | undefined

  constructor(reply: (text: string) => Reply, given: ChatOptions | SavedChat = {}) {
    this.#reply = reply
    this.#state = 'state' in given ? given.state?.file : undefined
    this.turns = 'turns' in given ? given.turns.map((turn) => ({ ...turn })) : []
    this.user = given.user ?? 'Alice'
    this.assistant = given.assistant ?? 'Bob'
    this.head = given.head ?? ''
  }

  get transcript(): string {
    return this.turns.map((turn) => `${this.user}: ${turn.user}\n${this.assistant}: ${turn.assistant}\n`).join('')
  }

  say(text: string, options: GenerateOptions = {}): FakeGeneration {
    this.asked.push(options)
    const turn = { user: text, assistant: '' }
    return new FakeGeneration(this.#reply(text), options.signal, (said) => {
      turn.assistant = said
      this.turns.push(turn)
    })
  }

  retry(options: GenerateOptions = {}): FakeGeneration {
    const last = this.turns.pop()
    if (!last) throw new Error('There is no turn')
    return this.say(last.user, options)
  }

  undo(): ChatTurn | undefined {
    return this.turns.pop()
  }

  reset(): void {
    this.turns = []
  }

  save(): SavedChat
  save(options: SaveStateOptions): Promise<SavedChat>
  save(options?: SaveStateOptions): SavedChat | Promise<SavedChat> {
    const saved: SavedChat = {
      format: 'phi2-chat',
      version: 1,
      user: this.user,
      assistant: this.assistant,
      head: this.head,
      turns: this.turns,
    }
    if (!options) return saved
    const state = { file: options.state, tokens: 1, bytes: 345_600_000, sha256: '0'.repeat(64), droppedTurns: 0 }
    return writeFile(options.state, 'cells').then(() => ({ ...saved, state }))
  }

  /** Fails unless the file is there. */
  async restoreState(): Promise<number> {
    this.restoredFrom = this.#state
    if (this.#state !== undefined) await readFile(this.#state)
    return this.#state === undefined ? 0 : 1
  }
}

export class FakePhi2 implements ReplPhi2 {
  readonly info = { sequenceSize: 2048 }
  readonly chats: FakeChat[] = []
  readonly #reply: (text: string) => Reply

  constructor(reply: (text: string) => Reply = (text) => ({ chunks: ['You said ', text, '.'] })) {
    this.#reply = reply
  }

  get lastChat(): FakeChat {
    const chat = this.chats.at(-1)
    if (!chat) throw new Error('No chat was opened')
    return chat
  }

  chat(options?: ChatOptions | SavedChat): FakeChat {
    const chat = new FakeChat(this.#reply, options)
    this.chats.push(chat)
    return chat
  }

  async countTokens(text: string): Promise<number> {
    assert.notEqual(text, '', 'The real one expects a text that is not empty')
    return text.split(/\s+/).filter(Boolean).length
  }
}
