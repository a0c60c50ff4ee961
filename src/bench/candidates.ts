import type { TunedOptions } from '../types.js'

/**
 * Counts of threads worth a trial. Reading prompts gains by every core, writing is bounded by the memory's speed, which fewer
 * threads may reach already; two threads on one core help some processors and hinder others.
 */
export function threadCandidates(processors: number, cores: number, preset: number): number[] {
  const counts = [
    preset,
    ...(processors <= 4 ? [1] : []),
    ...(cores >= 16 ? [Math.ceil(cores / 4)] : []),
    Math.ceil(cores / 2),
    // one core is left to the program that asks
    cores - 1,
    cores,
    Math.round((cores + processors) / 2),
    processors,
  ]
  return [...new Set(counts)].filter((count) => count >= 1 && count <= processors).sort((a, b) => a - b)
}

const BATCHES = [256, 512, 1024, 2048]
const MICRO_BATCHES = [64, 128, 256]
const PRESET_BATCH = 512

/**
 * Batches up to the prompt's length, for a larger one is never full, each computed in one piece; and the default one in
 * smaller parts.
 */
export function batchCandidates(promptTokens: number): Pick<TunedOptions, 'batchSize' | 'microBatchSize'>[] {
  const batches = BATCHES.filter((size) => size <= Math.max(promptTokens, PRESET_BATCH))
  return [
    ...batches.map((size) => ({ batchSize: size, microBatchSize: size })),
    ...MICRO_BATCHES.filter((size) => size < promptTokens).map((size) => {
      return { batchSize: PRESET_BATCH, microBatchSize: size }
    }),
  ]
}

/** `true` is no candidate: where `'auto'` finds that the device has it, it is on, and elsewhere it would be slow. */
export const FLASH_ATTENTION_CANDIDATES: readonly TunedOptions['flashAttention'][] = ['auto', false]
