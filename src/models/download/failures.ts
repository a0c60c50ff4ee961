import { isTransient, type RetryPolicy, retryDelay } from './retry.js'
import { AskAnew, Exhausted } from './transfer.js'

// After so many times in a row that a part was not given, the file is taken as a whole.
const maxRefusedParts = 2

/** Decides after each failure of a download whether and when the server is asked again. */
export class Failures {
  readonly #policy: RetryPolicy
  #inARow = 0
  #refusedParts = 0

  constructor(policy: RetryPolicy) {
    this.#policy = policy
  }

  /** Whether it makes sense to ask for parts of the file. */
  get partsWork(): boolean {
    return this.#refusedParts < maxRefusedParts
  }

  /**
   * Milliseconds to wait; undefined to give up.
   * @param progress more of the file is there than ever before
   * @param begun the server has answered before
   */
  next(error: unknown, progress: boolean, begun: boolean): number | undefined {
    this.#inARow = progress ? 1 : this.#inARow + 1
    if (this.#inARow > this.#policy.attempts) return undefined
    if (error instanceof AskAnew) {
      if (error.withoutPart) this.#refusedParts = progress ? 1 : this.#refusedParts + 1
      // The first time it is most likely a signed URL whose time is over.
      return this.#inARow === 1 ? 0 : retryDelay(this.#policy, this.#inARow, error.cause)
    }
    const cause = error instanceof Exhausted ? error.cause : error
    // The connections have already tried as often as they may.
    const hopeless = error instanceof Exhausted ? !progress : !isTransient(error, begun)
    return hopeless ? undefined : retryDelay(this.#policy, this.#inARow, cause)
  }
}
