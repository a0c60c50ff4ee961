import { optionError } from '../src/errors.js'
import { provideModel } from '../src/models/provide.js'
import type { ResolvedModel } from '../src/models/resolve.js'
import {
  loadAddon,
  type NativeAddon,
  type NativeEngineOptions,
  type NativeReading,
  type NativeReadingOptions,
} from '../src/native.js'
import { guarded, type NativeTask, settle } from '../src/native-task.js'
import { checkOptions, type OptionSpec } from '../src/options.js'
import { chooseHere, fitHere } from '../src/placement/place.js'
import { requireRoom, roomWarnings } from '../src/placement/room.js'
import { resolveWish } from '../src/placement/wish.js'
import { chooseThreads } from '../src/threads.js'
import type { Reading, ReadingOptions } from './reading-options.js'

const MAX_CHUNKS_TOGETHER = 64

/**
 * Reads the text with what `start` starts in the addon. `schema` may have more options than the reading's own.
 * @throws what {@link perplexity} says
 */
export async function readText<T extends NativeReading>(
  options: ReadingOptions,
  schema: Readonly<Record<string, OptionSpec>>,
  start: (addon: NativeAddon, native: NativeReadingOptions) => NativeTask<T> | Promise<NativeTask<T>>,
): Promise<{ found: T; reading: Reading }> {
  const { text, contextSize = 512, batchSize = 512, signal, ...given } = checkOptions(options, schema)
  if (typeof text !== 'string') {
    throw optionError('type', `Expected a string for text but received a value of type ${typeof text}`)
  }
  signal?.throwIfAborted()
  const { path, embedded, bytes } = await findModel(given.model, signal)
  const { threads, warning } = chooseThreads(given.threads, bytes)
  const { flashAttention = 'auto', onProgress } = given
  const started = performance.now()
  const wish = resolveWish({
    ...(given.gpuLayers !== undefined && { gpuLayers: given.gpuLayers }),
    ...(given.device !== undefined && { device: given.device }),
  })
  const choice = chooseHere(wish)
  const native: NativeEngineOptions = {
    path_model: path,
    devices: [],
    n_gpu_layers: 0,
    n_ctx: contextSize,
    n_batch: batchSize,
    n_ubatch: batchSize,
    n_seq_max: Math.min(MAX_CHUNKS_TOGETHER, Math.max(1, Math.floor(batchSize / contextSize))),
    n_threads: threads,
    flash_attn: flashAttention === 'auto' ? -1 : flashAttention ? 1 : 0,
    type_kv: given.kvType ?? 'f16',
  }
  const fitted = await fitHere(wish, choice, native, signal)
  requireRoom(wish, choice, fitted)
  const task = await start(loadAddon(), {
    ...native,
    ...fitted.native,
    text,
    n_chunks: given.chunks ?? 0,
    onProgress: onProgress && ((fraction, perplexity) => guarded(() => onProgress(fraction, perplexity || undefined))),
  })
  const found = await settle(task, signal)
  signal?.throwIfAborted()
  const seconds = (performance.now() - started) / 1000
  const warnings = [
    warning,
    ...roomWarnings(wish, fitted),
    ...found.warnings,
    beyondTraining(contextSize, found.trainedContextSize),
  ]
  return {
    found,
    reading: {
      model: path,
      embedded,
      contextSize,
      chunks: found.chunks,
      seconds,
      warnings: warnings.filter((text) => text !== undefined),
    },
  }
}

function beyondTraining(contextSize: number, trained: number): string | undefined {
  if (contextSize <= trained) return undefined
  return `contextSize is ${contextSize}, but the model was trained on ${trained} positions: what it says of later ones means little.`
}

/** The file of a model that is named as for `Phi2.load`, and downloaded as by it. */
export async function findModel(name: string | undefined, signal?: AbortSignal): Promise<ResolvedModel> {
  return (await provideModel(name, { signal })).model
}
