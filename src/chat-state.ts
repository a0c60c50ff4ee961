import { Phi2Error } from './errors.js'
import { waitFor } from './native-task.js'
import type { StateContext, TransferOptions } from './state-file.js'
import type { RestoredState, SavedState } from './types.js'

/** The KV cache of a saved chat, which is brought back once, for the chat and its forks. */
export class ChatState {
  readonly #context: StateContext
  readonly #saved: SavedState
  readonly #tokens: () => Promise<Int32Array>
  #attempt: Promise<void> | undefined
  #restored: RestoredState | undefined

  /** @param tokens of the saved conversation, as far as the state should hold it */
  constructor(context: StateContext, saved: SavedState, tokens: () => Promise<Int32Array>) {
    this.#context = context
    this.#saved = saved
    this.#tokens = tokens
  }

  /** Undefined until it was tried. */
  get restored(): RestoredState | undefined {
    return this.#restored && { ...this.#restored }
  }

  /**
   * Later calls share the first one's outcome. Only an attempt that was aborted, or came when the engine was busy, is
   * followed by another: after an abort by that of who waited for it.
   */
  async restore(options: TransferOptions = {}): Promise<void> {
    while (this.#attempt !== undefined) {
      try {
        return await waitFor(this.#attempt, options.signal)
      } catch (error) {
        const wasAborted = this.#restored === undefined
        if (!wasAborted || options.signal?.aborted) throw error
      }
    }
    this.#restored = undefined
    this.#attempt = this.#restore(options)
    return this.#attempt
  }

  async #restore(options: TransferOptions): Promise<void> {
    const restored: RestoredState = { tokens: 0 }
    try {
      // Few chats have one, so it is not loaded with the others.
      const { readState } = await import('./state-file.js')
      await readState(this.#context, await this.#tokens(), this.#saved, options, restored)
      this.#restored = restored
    } catch (error) {
      const { signal } = options
      if (!signal?.aborted) this.#restored = { ...restored, error: error as Error }
      if (signal?.aborted || (error as { code?: string }).code === 'PHI2_BUSY') this.#attempt = undefined
      throw error
    }
  }
}

/** @throws {Phi2Error} `PHI2_INVALID_TRANSCRIPT` */
export function checkSavedState(state: unknown, turns: number): asserts state is SavedState | undefined {
  if (state === undefined) return
  const { file, tokens, bytes, sha256, droppedTurns } = Object(state) as Record<string, unknown>
  const isCount = (count: unknown, least: number) => Number.isSafeInteger(count) && (count as number) >= least
  const isSound =
    typeof file === 'string' &&
    file !== '' &&
    isCount(tokens, 1) &&
    isCount(bytes, 1) &&
    typeof sha256 === 'string' &&
    /^[0-9a-f]{64}$/.test(sha256) &&
    isCount(droppedTurns, 0) &&
    (droppedTurns as number) <= turns
  if (isSound) return
  throw new Phi2Error(
    'PHI2_INVALID_TRANSCRIPT',
    'Expected a state as chat.save({ state }) describes it, with file, tokens, bytes, sha256 and droppedTurns, but found something else. Without the property state the chat can be restored.',
  )
}
