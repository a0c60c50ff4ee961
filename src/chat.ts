import { ChatState, checkSavedState } from './chat-state.js'
import { optionError, Phi2Error } from './errors.js'
import { Generation } from './generation.js'
import { checkOptions, generateSchema, resolveGenerate, restoreStateSchema, saveStateSchema } from './options.js'
import type { Phi2 } from './phi2.js'
import { chatOpening, chatPrompt, chatTranscript } from './prompts.js'
import type { StateContext } from './state-file.js'
import { chatProfile } from './stops.js'
import { tokenizeText } from './tokenize.js'
import type {
  ChatAnswer,
  ChatOptions,
  ChatTurn,
  GenerateOptions,
  RestoredState,
  RestoreStateOptions,
  SavedChat,
  SaveStateOptions,
} from './types.js'

const defaultTemperature = 0.7
const maxLabelLength = 40
// Of the room for a prompt, what is filled again after turns had to be dropped.
const keptShare = 0.75

/**
 * A conversation in Phi-2's chat format. Each turn's prompt is the transcript so far, so the engine reuses the KV cache
 * of the turn before and decodes only what is new. When the transcript no longer fits the context, the oldest turns are
 * left out of the prompt (the head never is) and the answer's `droppedTurns` says how many.
 *
 * @example
 * const chat = phi2.chat({ user: 'Alice', assistant: 'Bob' })
 * const { text } = await chat.say("I don't know why, I'm struggling to maintain focus while studying. Any suggestions?")
 */
export class Chat {
  readonly user: string
  readonly assistant: string
  readonly head: string
  readonly #context: StateContext
  #turns: ChatTurn[]
  #busy = false
  #dropped = 0
  /** Of the last answer, and so most likely of the next. */
  #maxTokens: number = generateSchema.maxTokens.default
  #state: ChatState | undefined

  /** Use `phi2.chat()`. */
  constructor(context: StateContext, options: ChatOptions = {}, turns: readonly ChatTurn[] = []) {
    if (typeof options !== 'object' || options === null)
      throw optionError('type', 'Expected an object for the options of the chat')
    const unknown = Object.keys(options).find((key) => !['user', 'assistant', 'head'].includes(key))
    if (unknown !== undefined) throw optionError('type', `Unknown option ${unknown}. Known are: user, assistant, head`)
    const { user = 'Alice', assistant = 'Bob', head = '' } = options
    this.user = label(user, 'user')
    this.assistant = label(assistant, 'assistant')
    if (this.user === this.assistant)
      throw optionError('range', `Expected different labels for user and assistant but received '${user}' for both`)
    if (typeof head !== 'string')
      throw optionError('type', `Expected a string for head but received a value of type ${typeof head}`)
    this.head = head
    this.#context = context
    this.#turns = turns.map((turn) => ({ ...turn }))
  }

  /**
   * Goes on with a saved conversation. If it was saved with its state, that is read by {@link restoreState} or else before
   * the first answer.
   * @throws {Phi2Error} `PHI2_INVALID_TRANSCRIPT`
   */
  static restore(phi2: Phi2, saved: SavedChat): Chat {
    return phi2.chat(saved)
  }

  /** @internal */
  static fromSaved(context: StateContext, saved: SavedChat): Chat {
    const { format, version, user, assistant, head, turns, state } = saved
    const sound =
      format === 'phi2-chat' &&
      version === 1 &&
      Array.isArray(turns) &&
      turns.every((turn) => typeof turn?.user === 'string' && typeof turn?.assistant === 'string')
    if (!sound) {
      throw new Phi2Error(
        'PHI2_INVALID_TRANSCRIPT',
        `Expected a chat saved by this package (format 'phi2-chat', version 1) but found format ${JSON.stringify(format)}, version ${JSON.stringify(version)}, or turns without texts.`,
      )
    }
    checkSavedState(state, turns.length)
    const chat = new Chat(context, { user, assistant, head }, turns)
    if (state !== undefined) {
      const kept = chat.#turns.slice(state.droppedTurns)
      chat.#dropped = state.droppedTurns
      chat.#state = new ChatState(context, { ...state }, () =>
        chat.#tokenize(chatOpening({ ...chat.#speakers, turns: kept })),
      )
    }
    return chat
  }

  /** The turns so far. */
  get turns(): readonly ChatTurn[] {
    return [...this.#turns]
  }

  /** The whole conversation as the model reads it. */
  get transcript(): string {
    const { user, assistant, head } = this
    return chatTranscript({ user, assistant, head, turns: this.#turns })
  }

  /**
   * Says something and gets the answer, which becomes a turn; of several (`n`) the first does. An aborted answer becomes a turn with the text so far, if
   * there is any.
   * @throws {Phi2Error} `PHI2_BUSY` while another answer of this chat is on its way.
   */
  say(message: string, options?: GenerateOptions): Generation<ChatAnswer> {
    if (typeof message !== 'string')
      throw optionError('type', `Expected a string for message but received a value of type ${typeof message}`)
    if (message.trim() === '') throw optionError('range', 'Expected a message that is not blank')
    return this.#say(message.trim(), this.#turns, this.#turns, options)
  }

  /** Answers the last message again. If that fails without a text, the old turn stays. @throws RangeError without a turn. */
  retry(options?: GenerateOptions): Generation<ChatAnswer> {
    this.#idle()
    const last = this.#turns.at(-1)
    if (!last) throw optionError('range', 'Expected a turn to retry but the chat is empty')
    return this.#say(last.user, this.#turns.slice(0, -1), this.#turns, options)
  }

  /** Takes the last turn back and returns it. */
  undo(): ChatTurn | undefined {
    this.#idle()
    return this.#turns.pop()
  }

  /** Forgets every turn. */
  reset(): void {
    this.#idle()
    this.#turns = []
  }

  /** A second conversation that begins with this one's turns. Their KV cache is shared as long as it lasts. */
  fork(): Chat {
    const fork = new Chat(this.#context, this.#speakers, this.#turns)
    fork.#dropped = this.#dropped
    fork.#state = this.#state
    return fork
  }

  /** The conversation as plain JSON. */
  save(): SavedChat
  /**
   * The same, and writes the KV cache of the conversation to a file: a chat restored with it answers without reading its
   * text anew. What is not cached any more is decoded for it. Other answers go on meanwhile. The file is written beside and
   * renamed when it is whole.
   * @throws {Phi2Error} (by rejecting) `PHI2_IO`, `PHI2_NO_SPACE`, `PHI2_CONTEXT_FULL`, `PHI2_CLOSED`, `PHI2_BUSY` when other
   * answers leave it no place in the cache; `signal.reason` when aborted.
   *
   * @example
   * const saved = await chat.save({ state: './chat.kv' })
   * const later = phi2.chat(saved)
   */
  save(options: SaveStateOptions): Promise<SavedChat>
  save(options?: SaveStateOptions): SavedChat | Promise<SavedChat> {
    const saved: SavedChat = {
      format: 'phi2-chat',
      version: 1,
      ...this.#speakers,
      turns: this.#turns.map((turn) => ({ ...turn })),
    }
    return options === undefined ? saved : this.#saveState(saved, options)
  }

  /**
   * Brings back the KV cache that the chat was saved with, now instead of before its first answer, and gives the number
   * of tokens that need not be decoded again; 0 for a chat that was saved without. The file is not trusted: all of it is
   * checked before it is used.
   * @throws {Phi2Error} (by rejecting) `PHI2_INVALID_STATE` when it is damaged or of another model file, KV type, engine or
   * text, `PHI2_IO` when it cannot be read, `PHI2_CONTEXT_FULL` when the context is smaller than it was, `PHI2_BUSY`,
   * `PHI2_CLOSED`; `signal.reason` when aborted. The chat can be used all the same: its text is read anew.
   */
  async restoreState(options?: RestoreStateOptions): Promise<number> {
    const given = checkOptions<RestoreStateOptions>(options, restoreStateSchema)
    await this.#state?.restore(given)
    return this.#state?.restored?.tokens ?? 0
  }

  /**
   * What became of the state that the chat was saved with, and why, if it could not be used. Undefined before it was
   * tried, and for a chat without.
   */
  get restored(): RestoredState | undefined {
    return this.#state?.restored
  }

  get #speakers(): Required<ChatOptions> {
    const { user, assistant, head } = this
    return { user, assistant, head }
  }

  async #saveState(saved: SavedChat, options: SaveStateOptions): Promise<SavedChat> {
    const { state: path, ...transfer } = checkOptions<SaveStateOptions>(options, saveStateSchema)
    if (path === undefined || path === '') throw optionError('range', 'Expected the name of a file for state')
    const render = (turns: readonly ChatTurn[]) => chatOpening({ ...this.#speakers, turns })
    const { tokens, dropped } = await this.#fit(saved.turns, render, this.#maxTokens)
    const { writeState } = await import('./state-file.js')
    return { ...saved, state: { ...(await writeState(this.#context, tokens, path, transfer)), droppedTurns: dropped } }
  }

  /** `before` is the conversation that the message follows, `otherwise` what stays if no text comes. */
  #say(
    user: string,
    before: readonly ChatTurn[],
    otherwise: readonly ChatTurn[],
    options: GenerateOptions | undefined,
  ): Generation<ChatAnswer> {
    this.#idle()
    const resolved = resolveGenerate(options, {
      temperature: defaultTemperature,
      profile: chatProfile(this.user, this.assistant),
      profileName: 'chat',
    })
    this.#maxTokens = resolved.n_predict
    const turns = [...before]
    let droppedTurns = 0
    this.#busy = true
    return new Generation<ChatAnswer>({
      engine: this.#context.engine,
      dispatcher: this.#context.dispatcher,
      options: resolved,
      prompt: async () => {
        // Who wants the same text again has the prompt read anew. Why a state could not be used is in `restored`.
        if (!resolved.reproducible) await this.#state?.restore().catch(() => {})
        const render = (kept: readonly ChatTurn[]) => chatPrompt({ ...this.#speakers, turns: kept, message: user })
        const fitted = await this.#fit(turns, render, resolved.n_predict)
        droppedTurns = fitted.dropped
        return { tokens: fitted.tokens, atLineStart: false }
      },
      finish: (answer) => ({ ...answer, droppedTurns }),
      onAnswer: (answer) => {
        this.#busy = false
        this.#turns = [...turns, { user, assistant: answer.text }]
      },
      onFailure: (text) => {
        this.#busy = false
        this.#turns = text === '' ? [...otherwise] : [...turns, { user, assistant: text }]
      },
    })
  }

  #tokenize(text: string): Promise<Int32Array> {
    return tokenizeText(this.#context.engine, text, false)
  }

  #idle(): void {
    if (this.#busy) throw new Phi2Error('PHI2_BUSY', 'This chat is still answering. Await or abort the answer first.')
  }

  // Dropping a turn changes the beginning of the prompt, so everything after the head is decoded anew. Therefore turns
  // are dropped seldom and several at a time: down to three quarters of the room, and the next prompts keep that start.
  // Tokens grow with turns, so the number is searched by halves.
  async #fit(
    turns: readonly ChatTurn[],
    text: (kept: readonly ChatTurn[]) => string,
    maxTokens: number,
  ): Promise<{ tokens: Int32Array; dropped: number }> {
    const { sequenceSize } = this.#context.info
    const render = (dropped: number): Promise<Int32Array> => this.#tokenize(text(turns.slice(dropped)))
    const room = sequenceSize - Math.min(maxTokens, Math.floor(sequenceSize / 2))
    this.#dropped = Math.min(this.#dropped, turns.length)
    const whole = await render(this.#dropped)
    if (whole.length <= room || this.#dropped === turns.length) return { tokens: whole, dropped: this.#dropped }
    let low = this.#dropped + 1
    let high = turns.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((await render(middle)).length <= room * keptShare) high = middle
      else low = middle + 1
    }
    this.#dropped = low
    return { tokens: await render(low), dropped: low }
  }
}

function label(value: unknown, name: string): string {
  if (typeof value !== 'string')
    throw optionError('type', `Expected a string for ${name} but received a value of type ${typeof value}`)
  const trimmed = value.trim()
  if (trimmed === '' || trimmed.length > maxLabelLength || /[\n\r:]/.test(trimmed)) {
    throw optionError(
      'range',
      `Expected a name of 1 to ${maxLabelLength} characters without colons and newlines for ${name} but received '${value}'`,
    )
  }
  return trimmed
}
