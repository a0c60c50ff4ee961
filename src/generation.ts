import { AnswerBuilder, joinChoices } from './answer.js'
import type { Dispatcher, RequestSink } from './dispatcher.js'
import { nativeError, Phi2Error } from './errors.js'
import type { NativeEndEvent, NativeEngine } from './native.js'
import type { ResolvedGenerate } from './options.js'
import { TextReader } from './text-reader.js'
import { Trimmer } from './trim.js'
import type { Answer, OneAnswer } from './types.js'

/** What a {@link Generation} runs: the verbs of `Phi2` and `Chat` prepare one of these. */
export interface GenerationPlan<T extends Answer> {
  engine: NativeEngine
  dispatcher: Dispatcher
  options: ResolvedGenerate
  /** Tokens of the prompt; asynchronous, because long texts are tokenized off the main thread. */
  prompt: () => Promise<{ tokens: Int32Array; atLineStart: boolean }>
  /** Turns a plain answer into the verb's own kind. Called for each choice. */
  finish: (answer: OneAnswer) => T
  /** Called once with what the generation resolves to. */
  onAnswer?: (answer: T) => void
  /** Called once with the text of the first choice so far when the answer was aborted or failed. */
  onFailure?: (text: string) => void
}

/**
 * An answer on its way: iterate it for text as it comes, or await it for the {@link Answer}; both together work. It
 * starts at once. `break` cancels it.
 *
 * While it is iterated and not awaited, it pauses when the consumer lags by `highWaterMark` chunks. A reader that stops
 * without `break`, `return()` or `abort()` keeps its place in the engine until somebody else waits for one, and its answer
 * goes on when it reads again.
 *
 * @example
 * for await (const text of phi2.ask('Why is the sky blue?')) process.stdout.write(text)
 * const { text, usage } = await phi2.ask('Why is the sky blue?')
 */
export class Generation<T extends Answer = Answer> implements AsyncIterable<string>, PromiseLike<T> {
  readonly #plan: GenerationPlan<T>
  readonly #builder: AnswerBuilder
  readonly #trimmer: Trimmer
  readonly #result: Promise<T>
  /** The first of the choices; it settles when all have ended. */
  readonly #first: Generation<T>
  /** All choices, this one first; those that follow the first have only themselves. */
  readonly #choices: Generation<T>[] = [this]
  #settle!: { resolve: (answer: T) => void; reject: (reason: unknown) => void }

  #text = ''
  #id: number | undefined
  #state: 'running' | 'done' | 'failed' = 'running'
  #answer: T | undefined
  #failure: unknown
  #abortReason: { reason: unknown } | undefined
  #reader: TextReader | undefined
  #awaited = false
  #paused = false

  /** @param of for this class itself: the first of several choices, and which one this is. */
  constructor(plan: GenerationPlan<T>, of?: { first: Generation<T>; index: number }) {
    this.#plan = plan
    this.#trimmer = new Trimmer(plan.options.trim)
    this.#builder = new AnswerBuilder(plan.engine, plan.options, plan.options.seeds[of?.index ?? 0] as number)
    this.#result = new Promise<T>((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
    // Whoever iterates or awaits sees the failure; nobody must be killed by an unhandled rejection for doing only one.
    this.#result.catch(() => {})
    this.#first = of?.first ?? this
    if (of) return
    for (let index = 1; index < plan.options.seeds.length; index++) {
      this.#choices.push(new Generation(plan, { first: this, index }))
    }
    const { signal } = plan.options
    if (signal?.aborted) {
      this.abort(signal.reason)
      return
    }
    signal?.addEventListener('abort', this.#onSignal, { once: true })
    void this.#start()
  }

  /**
   * All `n` answers on their way, this one first. Each can be iterated, awaited and aborted by itself; `abort()` of the
   * first aborts all.
   *
   * @example
   * const [first, second] = phi2.ask('Name a fruit.', { n: 2, temperature: 1 }).choices
   */
  get choices(): readonly Generation<T>[] {
    return [...this.#choices]
  }

  /** The text so far, trimmed like the answer's. Stays readable after an abort or a failure. */
  get text(): string {
    return this.#text
  }

  /**
   * Stops the answer. The promise rejects with `reason` (by default a `Phi2Error` with the code `PHI2_ABORTED`); the text
   * so far stays in `text`. Does nothing once the answer has ended.
   */
  abort(reason: unknown = new Phi2Error('PHI2_ABORTED', 'The answer was aborted.')): void {
    for (const choice of this.#choices) choice.#abort(reason)
  }

  // biome-ignore lint/suspicious/noThenProperty: a Generation is awaitable by design
  then<A = T, B = never>(
    onFulfilled?: ((answer: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    for (const choice of this.#choices) {
      choice.#awaited = true
      choice.#balance()
    }
    return this.#result.then(onFulfilled, onRejected)
  }

  /** As of every promise. Like `then`, it awaits the whole answer: an iterating reader beside it no longer slows it down. */
  catch<B = never>(onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<T | B> {
    return this.then(undefined, onRejected)
  }

  finally(onFinally?: (() => void) | null): Promise<T> {
    return this.then().finally(onFinally)
  }

  /** Chunks of text; joined they are the answer's `text`. Can be taken once. */
  [Symbol.asyncIterator](): AsyncIterator<string, undefined> {
    if (this.#reader) throw new Phi2Error('PHI2_BUSY', 'This answer is being iterated already; its text is in `text`.')
    const reader = new TextReader(this.#text, () => this.#balance())
    this.#reader = reader
    if (this.#state !== 'running') this.#endReader()
    return {
      next: () => reader.next(),
      return: () => {
        const returned = reader.return()
        this.abort()
        return returned
      },
    }
  }

  async #start(): Promise<void> {
    const { engine, dispatcher, options, prompt } = this.#plan
    try {
      const { tokens, atLineStart } = await prompt()
      // Aborted meanwhile, or all but some of them: those are aborted as soon as they have an id.
      if (this.#choices.every((choice) => choice.#state !== 'running')) return
      const request = {
        tokens,
        n_predict: options.n_predict,
        sampler: options.sampler,
        seeds: options.seeds,
        priority: options.priority,
        rules: options.rules,
        at_line_start: atLineStart,
        n_probs: options.n_probs,
        prompt_logprobs: false,
        reproducible: options.reproducible,
        speculate: options.speculate,
        n_draft: options.n_draft,
        logit_positions: new Int32Array(0),
      }
      const first = dispatcher.submit(
        engine,
        request,
        this.#choices.map((choice) => choice.#sink()),
      )
      for (const [i, choice] of this.#choices.entries()) {
        choice.#id = first + i
        if (choice.#state !== 'running') engine.abort(choice.#id)
      }
    } catch (error) {
      for (const choice of this.#choices) choice.#fail(nativeError(error))
    }
  }

  #sink(): RequestSink {
    return {
      onChunk: (chunk) => {
        if (this.#state !== 'running') return // aborted before it had an id
        this.#builder.add(chunk)
        this.#emit(this.#trimmer.push(chunk.text))
      },
      onEnd: (event) => this.#onEnd(event),
      onError: (error) => {
        if (this.#id !== undefined) this.#plan.engine.abort(this.#id)
        this.#fail(nativeError(error))
      },
    }
  }

  #abort(reason: unknown): void {
    if (this.#state !== 'running' || this.#abortReason) return
    this.#abortReason = { reason }
    // Before it has an id its prompt is being tokenized: nobody needs to wait for that.
    if (this.#id === undefined) this.#fail(reason)
    else this.#plan.engine.abort(this.#id)
  }

  readonly #onSignal = (): void => this.abort(this.#plan.options.signal?.reason)

  #onEnd(event: NativeEndEvent): void {
    this.#emit(this.#trimmer.finish())
    if (event.reason === 'error') {
      this.#fail(
        new Phi2Error(
          (event.error?.code ?? 'PHI2_DECODE_FAILED') as 'PHI2_DECODE_FAILED',
          event.error?.message ?? 'The engine failed.',
        ),
      )
    } else if (event.reason === 'abort') {
      this.#fail(
        this.#abortReason
          ? this.#abortReason.reason
          : new Phi2Error('PHI2_CLOSED', 'The model was closed before the answer was complete.'),
      )
    } else {
      this.#succeed(event)
    }
  }

  #succeed(event: NativeEndEvent): void {
    if (this.#state !== 'running') return
    try {
      this.#answer = this.#plan.finish(this.#builder.build(this.#text, event))
      this.#end('done')
    } catch (error) {
      this.#fail(nativeError(error))
    }
  }

  #fail(reason: unknown): void {
    if (this.#state !== 'running') return
    this.#failure = reason
    this.#end('failed')
  }

  #end(state: 'done' | 'failed'): void {
    this.#state = state
    if (this.#first !== this) this.#settleWith([this])
    this.#first.#settleAll()
    this.#endReader()
  }

  #endReader(): void {
    this.#reader?.end(this.#state === 'failed' ? { reason: this.#failure } : undefined)
  }

  /** Before any reader wakes: whoever has seen the end of a chat's answer may go on with the chat. */
  #settleAll(): void {
    const { options, onAnswer, onFailure } = this.#plan
    if (this.#choices.some((choice) => choice.#state === 'running')) return
    options.signal?.removeEventListener('abort', this.#onSignal)
    const answer = this.#settleWith(this.#choices)
    if (answer) onAnswer?.(answer)
    else onFailure?.(this.#text)
  }

  /** With the answers of all these choices, or the failure of one. */
  #settleWith(choices: readonly Generation<T>[]): T | undefined {
    const failed = choices.find((choice) => choice.#state === 'failed')
    if (failed) {
      this.#settle.reject(failed.#failure)
      return undefined
    }
    const answer = joinChoices(choices.map((choice) => choice.#answer as T))
    this.#settle.resolve(answer)
    return answer
  }

  #emit(text: string): void {
    if (text === '') return
    this.#text += text
    this.#reader?.push(text)
    this.#balance()
  }

  // Back-pressure. Who awaits the whole answer must get it, whatever a reader beside it does.
  #balance(): void {
    if (this.#id === undefined || this.#state !== 'running') return
    const { highWaterMark } = this.#plan.options
    const lag = this.#awaited || !this.#reader ? 0 : this.#reader.lag
    if (lag >= highWaterMark && !this.#paused) {
      this.#paused = true
      this.#plan.engine.pause(this.#id)
    } else if (lag === 0 && this.#paused) {
      this.#paused = false
      this.#plan.engine.resume(this.#id)
    }
  }
}
