import type { NativeChunkEvent, NativeEndEvent, NativeEngine, NativeEvent, NativeRequest } from './native.js'

/** Who hears of one answer. */
export interface RequestSink {
  onChunk(event: NativeChunkEvent): void
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

  readonly onEvents = (events: NativeEvent[]): void => {
    for (const event of events) {
      const sink = this.#sinks.get(event.id)
      if (event.type === 'end') this.#sinks.delete(event.id)
      try {
        if (event.type === 'end') sink?.onEnd(event)
        else sink?.onChunk(event)
      } catch (error) {
        // The others in the list must still get theirs.
        this.#sinks.delete(event.id)
        sink?.onError(error)
      }
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
