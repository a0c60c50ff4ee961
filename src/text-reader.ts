type Result = IteratorResult<string, undefined>

const finished = { done: true, value: undefined } as const

/**
 * Text on its way to the one who iterates an answer. What comes while nobody waits is joined, so a reader that lags gets
 * it in one piece, and what a chunk costs does not depend on how many wait.
 */
export class TextReader {
  readonly #onRead: () => void
  #pending: string
  #lag = 0
  #ended = false
  #failure: { reason: unknown } | undefined
  #waiting: { resolve: (result: Result) => void; reject: (reason: unknown) => void }[] = []

  /** @param text what there is already */
  constructor(text: string, onRead: () => void) {
    this.#pending = text
    this.#onRead = onRead
  }

  /** Chunks that came and are not read. */
  get lag(): number {
    return this.#lag
  }

  push(text: string): void {
    if (this.#ended) return
    const reader = this.#waiting.shift()
    if (reader) {
      reader.resolve({ done: false, value: text })
    } else {
      this.#pending += text
      this.#lag++
    }
  }

  /** No more text will come; what is pending can be read, and after it the failure if there is one. */
  end(failure?: { reason: unknown }): void {
    if (this.#ended) return
    this.#ended = true
    const [first, ...others] = this.#waiting
    this.#waiting = []
    // Others that wait beside the first have nothing to wait for.
    if (first && failure) first.reject(failure.reason)
    else first?.resolve(finished)
    for (const reader of others) reader.resolve(finished)
    if (!first) this.#failure = failure
  }

  next(): Promise<Result> {
    if (this.#pending !== '') {
      const value = this.#pending
      this.#pending = ''
      this.#lag = 0
      this.#onRead()
      return Promise.resolve({ done: false, value })
    }
    if (this.#failure) {
      const { reason } = this.#failure
      this.#failure = undefined
      return Promise.reject(reason)
    }
    if (this.#ended) return Promise.resolve(finished)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
    })
  }

  return(): Promise<Result> {
    this.#pending = ''
    this.#lag = 0
    this.#failure = undefined
    this.end()
    return Promise.resolve(finished)
  }
}
