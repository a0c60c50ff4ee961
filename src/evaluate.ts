import type { Dispatcher } from './dispatcher.js'
import { nativeError, Phi2Error, type Phi2ErrorCode } from './errors.js'
import type { NativeEndEvent, NativeEngine, NativeRequest } from './native.js'
import { resolveGenerate } from './options.js'
import { stopProfiles } from './stops.js'

/**
 * Runs the model over tokens without generating: log p(token i | tokens before it) for i ≥ 1, and the raw logits at the
 * positions asked for (positions × vocabulary size, row-major, positions ascending).
 * @throws {Phi2Error} as `Phi2.ask`.
 */
export async function evaluate(
  engine: NativeEngine,
  dispatcher: Dispatcher,
  tokens: Int32Array,
  wanted: { logprobs?: boolean; logitPositions?: readonly number[] },
): Promise<{ logprobs: Float32Array; logits: Float32Array }> {
  const { sampler } = resolveGenerate(undefined, { temperature: 0, profile: stopProfiles.none, profileName: 'none' })
  const request: NativeRequest = {
    tokens,
    n_predict: 0,
    sampler,
    rules: [],
    at_line_start: false,
    n_probs: -1,
    prompt_logprobs: wanted.logprobs ?? false,
    reproducible: true,
    logit_positions: Int32Array.from(wanted.logitPositions ?? []),
  }
  const end = await new Promise<NativeEndEvent>((resolve, reject) => {
    dispatcher.submit(engine, request, { onChunk: () => {}, onEnd: resolve, onError: reject })
  }).catch((error) => {
    throw nativeError(error)
  })
  if (end.error) throw new Phi2Error(end.error.code as Phi2ErrorCode, end.error.message)
  if (end.reason === 'abort') throw new Phi2Error('PHI2_CLOSED', 'The model was closed during the computation.')
  return { logprobs: end.promptLogprobs ?? new Float32Array(0), logits: end.logits ?? new Float32Array(0) }
}
