import type { Dispatcher } from './dispatcher.js'
import { nativeError, Phi2Error, type Phi2ErrorCode } from './errors.js'
import type { NativeEndEvent, NativeEngine, NativeRequest } from './native.js'
import { resolveGenerate } from './options.js'
import { stopProfiles } from './stops.js'
import type { GenerateOptions } from './types.js'

/**
 * Runs the model over tokens without generating: log p(token i | tokens before it) for i ≥ 1, and the raw logits at the
 * positions asked for (positions × vocabulary size, row-major, positions ascending).
 * @throws {Phi2Error} as `Phi2.ask`; `signal.reason` when aborted.
 */
export async function evaluate(
  engine: NativeEngine,
  dispatcher: Dispatcher,
  tokens: Int32Array,
  wanted: {
    logprobs?: boolean
    logitPositions?: readonly number[]
    /** For the cells that stay in the cache: what is there already is not computed again. */
    cached?: boolean
    signal?: AbortSignal | undefined
  },
): Promise<{ logprobs: Float32Array; logits: Float32Array }> {
  const request = {
    ...plainRequest(tokens),
    prompt_logprobs: wanted.logprobs ?? false,
    reproducible: !wanted.cached,
    logit_positions: Int32Array.from(wanted.logitPositions ?? []),
  }
  const end = await runRequest(engine, dispatcher, request, wanted.signal)
  return { logprobs: end.promptLogprobs ?? new Float32Array(0), logits: end.logits ?? new Float32Array(0) }
}

/** Reads its tokens and generates nothing. */
export function plainRequest(tokens: Int32Array, options?: GenerateOptions): NativeRequest {
  const { sampler, seeds, priority } = resolveGenerate(options, {
    temperature: 0,
    profile: stopProfiles.none,
    profileName: 'none',
  })
  return {
    tokens,
    n_predict: 0,
    sampler,
    seeds,
    priority,
    rules: [],
    at_line_start: false,
    n_probs: -1,
    prompt_logprobs: false,
    reproducible: false,
    logit_positions: new Int32Array(0),
    speculate: 'none',
    n_draft: 0,
  }
}

/**
 * Runs a request to its end; its text is not looked at.
 * @throws {Phi2Error} as `Phi2.ask`; `signal.reason` when aborted.
 */
export async function runRequest(
  engine: NativeEngine,
  dispatcher: Dispatcher,
  request: NativeRequest,
  signal?: AbortSignal,
): Promise<NativeEndEvent> {
  signal?.throwIfAborted()
  let abort = (): void => {}
  const end = await new Promise<NativeEndEvent>((resolve, reject) => {
    const id = dispatcher.submit(engine, request, [{ onChunk: () => {}, onEnd: resolve, onError: reject }])
    abort = () => engine.abort(id)
    signal?.addEventListener('abort', abort, { once: true })
  })
    .catch((error) => {
      throw nativeError(error)
    })
    .finally(() => signal?.removeEventListener('abort', abort))
  signal?.throwIfAborted()
  if (end.error) throw new Phi2Error(end.error.code as Phi2ErrorCode, end.error.message)
  if (end.reason === 'abort') throw new Phi2Error('PHI2_CLOSED', 'The model was closed during the computation.')
  return end
}
