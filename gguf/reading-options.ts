import { loadSchema, type OptionSpec } from '../src/options.js'
import type { LoadOptions } from '../src/types.js'

/** A text that a model reads to be measured: cut into chunks of `contextSize` tokens, each read on its own. */
export interface ReadingOptions {
  /** Which model reads, named as for `Phi2.load`. */
  model?: LoadOptions['model'] | undefined
  /** At least two chunks long; what is left over after the last whole chunk is not read. `<|endoftext|>` is text. */
  text: string
  /** Tokens of a chunk. Figures compare only at the same size: with more context, texts surprise less. @default 512 */
  contextSize?: number | undefined
  /** Tokens decoded in one step at most: several short chunks, or a part of a long one. @default 512 */
  batchSize?: number | undefined
  /** Chunks read at most. @default all */
  chunks?: number | undefined
  /** As for `Phi2.load`, the next four too. */
  threads?: LoadOptions['threads'] | undefined
  gpuLayers?: LoadOptions['gpuLayers'] | undefined
  device?: LoadOptions['device'] | undefined
  flashAttention?: LoadOptions['flashAttention'] | undefined
  kvType?: LoadOptions['kvType'] | undefined
  /** Aborting throws `signal.reason`. */
  signal?: AbortSignal | undefined
  /** The share done, 0 to 1, and the perplexity so far, once there is one. */
  onProgress?: ((fraction: number, perplexity: number | undefined) => void) | undefined
}

/** What every reading tells of itself. */
export interface Reading {
  /** The model's file. */
  model: string
  /** The model is the embedded phi-2-tiny. */
  embedded: boolean
  contextSize: number
  /** Chunks read. */
  chunks: number
  seconds: number
  warnings: string[]
}

export const readingSchema = {
  model: loadSchema.model,
  text: { type: 'other', doc: 'The text', cli: false },
  contextSize: { type: 'integer', min: 32, max: 1 << 16, default: 512, doc: 'Tokens of a chunk', cli: true },
  batchSize: loadSchema.batchSize,
  chunks: { type: 'integer', min: 1, max: 1 << 30, doc: 'Chunks read at most', cli: true },
  threads: loadSchema.threads,
  gpuLayers: loadSchema.gpuLayers,
  device: loadSchema.device,
  flashAttention: loadSchema.flashAttention,
  kvType: loadSchema.kvType,
  signal: { type: 'signal', doc: 'Ends it early', cli: false },
  onProgress: { type: 'function', doc: 'Progress', cli: false },
} as const satisfies Record<keyof ReadingOptions, OptionSpec>
