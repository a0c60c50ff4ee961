/** Sizes of a model that its memory depends on. */
export interface ModelShape {
  layers: number
  embeddingSize: number
  feedForwardSize: number
  heads: number
  /** Fewer than `heads` where several heads share their keys and values; Phi-2 has as many. */
  kvHeads: number
  /** Features of one head: 80 in Phi-2. */
  headSize: number
  /** Rows of the embedding matrix: 51200 in Phi-2. */
  vocabularySize: number
  /** Positions that it was trained for: 2048 in Phi-2. */
  contextSize: number
}

/** Bytes of memory that a loaded model takes on the CPU. */
export interface MemoryEstimate {
  contextSize: number
  /** All tensors. They are mapped from the file, so the system may drop and read again what is not in use. */
  weights: number
  /** Keys and values of one token in F16: 327,680 in Phi-2. */
  kvPerToken: number
  /** Keys and values of `contextSize` tokens; the engine rounds up to a multiple of 256. */
  kv: number
  /** What the engine computes in, for batches of 512 tokens. */
  compute: number
  total: number
}

const KV_VALUE_BYTES = 2
const KV_CELLS = 256
/** `batchSize`, by default. */
const BATCH = 512
/** The engine computes at most so many rows of logits at once (`kMaxOutputs` in native/core/context.cpp). */
const OUTPUT_ROWS = 64
/** `maxSequences`, by default: a row of logits is kept for each. */
const SEQUENCES = 8
const FLOAT = 4

/**
 * What a Phi-2 of this shape needs with the default options of `Phi2.load`; Node and the vocabulary take about 90 MB
 * besides. `compute` is what the engine's log reports, to within a few percent (compared at widths of 320 and 2560 and
 * contexts of 128 to 8192): at one time either a layer's vectors for the whole batch with the attention mask, or the
 * logits, need the room. On some processors the engine also keeps a rearranged copy of matrices in types such as q4_0,
 * and then the originals can be dropped from memory.
 */
export function estimateMemory(shape: ModelShape, weights: number, contextSize: number): MemoryEstimate {
  const { embeddingSize, feedForwardSize, headSize, kvHeads, layers, vocabularySize } = shape
  const kvPerToken = 2 * layers * kvHeads * headSize * KV_VALUE_BYTES
  const cells = Math.ceil(contextSize / KV_CELLS) * KV_CELLS
  const batch = Math.min(BATCH, contextSize)
  const layer = FLOAT * batch * (5 * embeddingSize + feedForwardSize) + 2 * batch * cells
  const output = FLOAT * (OUTPUT_ROWS * (vocabularySize + embeddingSize) + batch * embeddingSize)
  const compute = Math.max(layer, output) + FLOAT * SEQUENCES * vocabularySize
  const kv = cells * kvPerToken
  return { contextSize, weights, kvPerToken, kv, compute, total: weights + kv + compute }
}

/** How fast one answer can be written at most: every weight passes the processor once for each token. */
export interface SpeedEstimate {
  /** All matrices but the token embedding, of which one row is looked up. */
  weightBytesPerToken: number
  /** Keys and values that are read as well when the context is full. */
  kvBytesAtContext: number
  /** By memory bandwidth. An upper bound, not a measurement: real speed is lower. */
  roofline: Roofline[]
  class: SpeedClass
}

export interface Roofline {
  /** Bytes per second, in units of 10^9. */
  gigabytesPerSecond: number
  hardware: string
  /** With an empty context. */
  tokensPerSecond: number
  /** With a full one. */
  tokensPerSecondAtContext: number
}

/** On a laptop of 50 GB/s: at least 20, 10 and 5 tokens a second. People read about 5. */
export type SpeedClass = 'fast' | 'comfortable' | 'reading speed' | 'slow'

const BANDWIDTHS: readonly [gigabytesPerSecond: number, hardware: string][] = [
  [50, 'laptop, two channels of DDR4'],
  [100, 'desktop with DDR5, Apple M2'],
  [400, 'Apple M Max, server with 12 channels'],
  [1008, 'RTX 4090'],
  [3350, 'H100 SXM'],
]

export function estimateSpeed(weightBytesPerToken: number, kvBytesAtContext: number): SpeedEstimate {
  const roofline = BANDWIDTHS.map(([gigabytesPerSecond, hardware]) => ({
    gigabytesPerSecond,
    hardware,
    tokensPerSecond: round((gigabytesPerSecond * 1e9) / weightBytesPerToken),
    tokensPerSecondAtContext: round((gigabytesPerSecond * 1e9) / (weightBytesPerToken + kvBytesAtContext)),
  }))
  return { weightBytesPerToken, kvBytesAtContext, roofline, class: speedClass(roofline[0]!.tokensPerSecond) }
}

function speedClass(tokensPerSecond: number): SpeedClass {
  if (tokensPerSecond >= 20) return 'fast'
  if (tokensPerSecond >= 10) return 'comfortable'
  return tokensPerSecond >= 5 ? 'reading speed' : 'slow'
}

function round(value: number): number {
  return Number(value.toPrecision(3))
}
