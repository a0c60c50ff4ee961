import type { Dispatcher } from './dispatcher.js'
import { optionError, Phi2Error } from './errors.js'
import { Generation } from './generation.js'
import type { NativeEngine } from './native.js'
import { resolveGenerate } from './options.js'
import type { Phi2 } from './phi2.js'
import { chatPrompt, chatTranscript } from './prompts.js'
import { chatProfile } from './stops.js'
import { tokenizeText } from './tokenize.js'
import type { Answer, ChatAnswer, ChatOptions, ChatTurn, GenerateOptions, SavedChat } from './types.js'

export interface ChatContext {
  engine: NativeEngine
  dispatcher: Dispatcher
  sequenceSize: number
}

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
  readonly #context: ChatContext
  #turns: ChatTurn[]
  #busy = false
  #dropped = 0

  /** Use `phi2.chat()`. */
  constructor(context: ChatContext, options: ChatOptions = {}, turns: readonly ChatTurn[] = []) {
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

  /** Goes on with a saved conversation. @throws {Phi2Error} `PHI2_INVALID_TRANSCRIPT` */
  static restore(phi2: Phi2, saved: SavedChat): Chat {
    return phi2.chat(saved)
  }

  /** @internal */
  static fromSaved(context: ChatContext, saved: SavedChat): Chat {
    const { format, version, user, assistant, head, turns } = saved
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
    return new Chat(context, { user, assistant, head }, turns)
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
   * Says something and gets the answer, which becomes a turn. An aborted answer becomes a turn with the text so far, if
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
    return new Chat(this.#context, { user: this.user, assistant: this.assistant, head: this.head }, this.#turns)
  }

  save(): SavedChat {
    const { user, assistant, head } = this
    return { format: 'phi2-chat', version: 1, user, assistant, head, turns: this.#turns.map((turn) => ({ ...turn })) }
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
    const turns = [...before]
    let droppedTurns = 0
    this.#busy = true
    return new Generation<ChatAnswer>({
      engine: this.#context.engine,
      dispatcher: this.#context.dispatcher,
      options: resolved,
      prompt: async () => {
        const fitted = await this.#fit(turns, user, resolved.n_predict)
        droppedTurns = fitted.dropped
        return { tokens: fitted.tokens, atLineStart: false }
      },
      finish: (answer: Answer) => {
        this.#busy = false
        this.#turns = [...turns, { user, assistant: answer.text }]
        return { ...answer, droppedTurns }
      },
      onFailure: (text) => {
        this.#busy = false
        this.#turns = text === '' ? [...otherwise] : [...turns, { user, assistant: text }]
      },
    })
  }

  #idle(): void {
    if (this.#busy) throw new Phi2Error('PHI2_BUSY', 'This chat is still answering. Await or abort the answer first.')
  }

  // Dropping a turn changes the beginning of the prompt, so everything after the head is decoded anew. Therefore turns
  // are dropped seldom and several at a time: down to three quarters of the room, and the next prompts keep that start.
  // Tokens grow with turns, so the number is searched by halves.
  async #fit(
    turns: readonly ChatTurn[],
    message: string,
    maxTokens: number,
  ): Promise<{ tokens: Int32Array; dropped: number }> {
    const { engine, sequenceSize } = this.#context
    const { user, assistant, head } = this
    const render = (dropped: number): Promise<Int32Array> =>
      tokenizeText(engine, chatPrompt({ user, assistant, head, turns: turns.slice(dropped), message }), false)
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
