import type { NativeEndEvent, NativeEngine, NativeLoadOptions, NativeRequest } from './native.js'

/** Text that became certain, with the tokens that begin in it. */
export interface Chunk {
  text: string
  tokens: readonly number[]
  /** One for each token, if asked for. */
  logprobs?: Float32Array | undefined
  /** `n_probs` for each token. */
  topTokens?: Int32Array | undefined
  topLogprobs?: Float32Array | undefined
}

/** Who hears of one answer. */
export interface RequestSink {
  onChunk(chunk: Chunk): void
  onEnd(event: NativeEndEvent): void
  /** One of the two others threw: the answer hears of nothing more. */
  onError(error: unknown): void
}

/**
 * Hands the engine's events to the requests that they belong to. The engine keeps this object alive, so it must not
 * point back at the engine: an unused model could never be collected. Requests in flight do (through their sinks).
 */
export class Dispatcher {
  readonly #sinks = new Map<number, RequestSink>()

  readonly onChunk: NativeLoadOptions['onChunk'] = (id, text, tokens, logprobs, topTokens, topLogprobs) => {
    const sink = this.#sinks.get(id)
    try {
      sink?.onChunk({ text, tokens, logprobs, topTokens, topLogprobs })
    } catch (error) {
      // The others must still get theirs.
      this.#sinks.delete(id)
      sink?.onError(error)
    }
  }

  readonly onEnd: NativeLoadOptions['onEnd'] = (id, event) => {
    const sink = this.#sinks.get(id)
    this.#sinks.delete(id)
    try {
      sink?.onEnd(event)
    } catch (error) {
      sink?.onError(error)
    }
  }

  /**
   * Starts a request with a sink for each of its answers. Gives the id of the first answer; the others follow it. Their
   * first events come in a later turn of the event loop.
   */
  submit(engine: NativeEngine, request: NativeRequest, sinks: readonly RequestSink[]): number {
    const id = engine.submit(request)
    for (const [i, sink] of sinks.entries()) this.#sinks.set(id + i, sink)
    return id
  }
}
