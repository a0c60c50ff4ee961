import { provideModel } from './models/provide.js'
import type { ResolvedModel } from './models/resolve.js'
import type { NativeEngineOptions } from './native.js'
import { type ResolvedLoad, resolveLoad } from './options.js'
import type { DeviceChoice } from './placement/choose.js'
import type { FittedPlacement } from './placement/fit.js'
import { checkFileType, chooseHere, fitHere, modelForMode } from './placement/place.js'
import { roomWarnings } from './placement/room.js'
import { keepFullPrecision } from './placement/tf32.js'
import { chooseThreads } from './threads.js'
import { resolveTuned } from './tuned/find.js'
import type { LoadOptions, ModelInfo, NotTaken } from './types.js'

/** All that is decided before weights are read. */
export interface PreparedLoad {
  model: ResolvedModel
  draft: ResolvedModel | undefined
  resolved: ResolvedLoad
  tuned: ModelInfo['tuned']
  threads: number
  choice: DeviceChoice
  fitted: FittedPlacement
  /** What the addon is told. */
  native: NativeEngineOptions
  notTaken: NotTaken[]
  warnings: string[]
  /** For the rest of the way, where a download had its share. */
  onProgress: ((fraction: number) => void) | undefined
}

/**
 * Finds the files, downloads what is not there, and decides where everything goes. What does not fit is told, not thrown.
 * @throws {Phi2Error} the codes of `Phi2.load`
 */
export async function prepareLoad(options: LoadOptions | undefined): Promise<PreparedLoad> {
  const given = resolveLoad(options)
  const { signal } = given
  signal?.throwIfAborted()
  const precision = keepFullPrecision(given.mode)
  // Before anything is downloaded for a mode that this machine does not have.
  const choice = chooseHere(given)
  const { model, onProgress } = await provideModel(given.model ?? modelForMode(given.mode), given)
  await checkFileType(given.mode, model)
  const { resolved, tuned } = await resolveTuned(options, given, model, choice)
  const draft = given.draft === undefined ? undefined : (await provideModel(given.draft, { signal })).model
  const { threads, warning } = chooseThreads(resolved.threads, model.bytes)
  const base = nativeOptions(resolved, model, draft, threads)
  const fitted = await fitHere(resolved, choice, base, signal)
  return {
    model,
    draft,
    resolved,
    tuned,
    threads,
    choice,
    fitted,
    native: { ...base, ...fitted.native },
    notTaken: [...fitted.notTaken, ...choice.notTaken],
    warnings: [...(warning === undefined ? [] : [warning]), ...precision, ...roomWarnings(resolved, fitted)],
    onProgress,
  }
}

function nativeOptions(
  options: ResolvedLoad,
  model: ResolvedModel,
  draft: ResolvedModel | undefined,
  threads: number,
): NativeEngineOptions {
  return {
    path_model: model.path,
    devices: [],
    n_gpu_layers: 0,
    n_ctx: options.contextSize,
    n_batch: options.batchSize,
    n_ubatch: options.microBatchSize,
    n_seq_max: options.maxSequences,
    n_queue_max: options.maxQueue,
    n_threads: threads,
    flash_attn: options.flashAttention === 'auto' ? -1 : options.flashAttention ? 1 : 0,
    type_kv: options.kvType,
    path_draft: draft?.path,
    n_threads_draft: draft === undefined ? 1 : Math.min(threads, chooseThreads(undefined, draft.bytes).threads),
  }
}
