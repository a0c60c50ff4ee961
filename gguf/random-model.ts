import { tinyModelPath } from '../src/models/resolve.js'
import { checkInteger, checkText } from './checks.js'
import { isFolder } from './folder.js'
import {
  elementCount,
  type FloatType,
  type GgmlTypeName,
  type GgufMetadata,
  invalidGguf,
  tensorByteLength,
} from './format.js'
import { tokenizerMetadata } from './metadata.js'
import type { ModelConfig } from './model-config.js'
import { encodeFloats, makePool, randomSource, type WeightPool } from './random-weights.js'
import { readHeader } from './read.js'
import { type PlannedTensor, planTensors } from './tensor-map.js'
import { readTokenizerFiles } from './tokenizer-files.js'

export interface RandomModelOptions {
  /** 32 in Phi-2. @default 32 */
  layers?: number | undefined
  /** A multiple of 32. @default 2560 */
  embeddingSize?: number | undefined
  /** Must divide `embeddingSize`; Phi-2's heads have 80 features. @default 32 */
  heads?: number | undefined
  /** A multiple of 32. @default 4 · embeddingSize */
  feedForward?: number | undefined
  /** The same seed and sizes give the same weights. @default 1 */
  seed?: number | undefined
  /** A GGUF file or a checkpoint folder whose vocabulary is taken. @default the embedded phi-2-tiny */
  vocabulary?: string | undefined
}

/** A Phi-2 model with random weights, before it has a file format: nothing of it is in memory but its pools. */
export interface RandomModel {
  name: string
  config: Omit<ModelConfig, 'json'>
  /** The `tokenizer.` keys of a GGUF file. */
  vocabulary: GgufMetadata
  /** Count of weights. */
  parameters: number
  tensors: RandomTensor[]
}

export interface RandomTensor extends PlannedTensor {
  /** Its bytes in one type; a vector in a float type only. A piece is reused for the next one. */
  data: (type: GgmlTypeName) => AsyncGenerator<Uint8Array>
}

/**
 * Weights depend on the seed, the sizes and the tensor's place alone: in F16 and BF16 they are those of F32 rounded, so
 * that a checkpoint converted gives the tensors of a GGUF file that was written at once.
 *
 * @throws those of {@link readHeader} for `vocabulary`; a TypeError or RangeError with `PHI2_INVALID_OPTION`.
 */
export async function randomModel(options: RandomModelOptions): Promise<RandomModel> {
  const { seed = 1 } = options
  const sizes = checkSizes(options)
  checkInteger('seed', seed, 0, 2 ** 32 - 1)
  if (options.vocabulary !== undefined) checkText('vocabulary', options.vocabulary)
  const vocabulary = await readVocabulary(options.vocabulary ?? tinyModelPath())
  const config = { ...sizes, ...FIXED, vocabularySize: vocabularySize(vocabulary) }
  const pools: Pools = new Map()
  const tensors = planTensors(config).map((planned, index) => {
    const data = (type: GgmlTypeName) =>
      randomData(planned, type, sizes.layers, Math.imul(seed + 1, 0x9e3779b1) + index, pools)
    return { ...planned, data }
  })
  const parameters = tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0)
  return { name: `phi-2-random-${sizes.layers}x${sizes.embeddingSize}`, config, vocabulary, parameters, tensors }
}

/** What is the same in every model of this kind. */
const FIXED = { contextSize: 2048, layerNormEpsilon: 1e-5, ropeTheta: 10000 }
const ROTARY_SHARE = 0.4
/** The smallest head with a pair of rotary features. */
const MIN_HEAD = 5

function checkSizes(options: RandomModelOptions) {
  const { layers = 32, embeddingSize = 2560, heads = 32, feedForward = 4 * embeddingSize } = options
  checkInteger('layers', layers, 1, 512)
  checkInteger('heads', heads, 1, 512)
  checkInteger('embeddingSize', embeddingSize, 32, 16384)
  checkInteger('feedForward', feedForward, 32, 65536)
  const headSize = embeddingSize / heads
  // a row must be a whole number of 32-value blocks
  checkInteger('embeddingSize / 32', embeddingSize / 32, 1, 512)
  checkInteger('feedForward / 32', feedForward / 32, 1, 2048)
  checkInteger('embeddingSize / heads', headSize, MIN_HEAD, 512)
  // rotary embedding turns features in pairs
  const rotarySize = 2 * Math.floor((ROTARY_SHARE * headSize) / 2)
  return { layers, embeddingSize, heads, feedForwardSize: feedForward, rotarySize }
}

/** Everything about the tokenizer out of a GGUF file, or made from a checkpoint's files. */
async function readVocabulary(path: string): Promise<GgufMetadata> {
  if (await isFolder(path)) {
    const files = await readTokenizerFiles(path)
    return tokenizerMetadata(files, { vocabularySize: PHI2_VOCABULARY_SIZE, json: {} })
  }
  const { metadata } = await readHeader(path)
  return new Map([...metadata].filter(([key]) => key.startsWith('tokenizer.')))
}

const PHI2_VOCABULARY_SIZE = 51200

function vocabularySize(vocabulary: GgufMetadata): number {
  const tokens = vocabulary.get('tokenizer.ggml.tokens')
  if (tokens?.type === 'array') return tokens.value.length
  throw invalidGguf('the file given for vocabulary has no tokenizer.ggml.tokens')
}

/** Spread of weights before training, as in GPT-2: less where layers add to the residual stream. */
const SPREAD = 0.02

type Pools = Map<string, Promise<WeightPool>>

async function* randomData(
  { name, shape }: PlannedTensor,
  type: GgmlTypeName,
  layers: number,
  seed: number,
  pools: Pools,
): AsyncGenerator<Uint8Array> {
  if (shape.length === 1) {
    yield encodeFloats(randomVector(name, shape[0]!, seed), type as FloatType)
    return
  }
  const addsToResidual = /\.(attn_output|ffn_down)\./.test(name)
  const spread = addsToResidual ? SPREAD / Math.sqrt(2 * layers) : SPREAD
  yield* matrixPieces(await poolFor(pools, type, spread), type, shape, seed)
}

/**
 * Norms around 1 and biases around 0, all different, so that two of them that change places are noticed. Eight
 * significant bits are enough for each: all float types hold them exactly.
 */
function randomVector(name: string, length: number, seed: number): Float32Array {
  const random = randomSource(seed)
  const isNorm = name.endsWith('_norm.weight')
  const floats = new Float32Array(length)
  for (let i = 0; i < length; i++) {
    const byte = (random() >>> 24) - 128
    floats[i] = isNorm ? 1 + (byte >> 3) / 128 : byte / 2 ** 14
  }
  return floats
}

function poolFor(pools: Pools, type: GgmlTypeName, spread: number): Promise<WeightPool> {
  const key = `${type} ${spread}`
  const pool = pools.get(key) ?? makePool(type, spread)
  pools.set(key, pool)
  return pool
}

/** Small enough that making it takes no longer than a millisecond, large enough for a disk. */
const PIECE_BYTES = 1024 * 1024

/** Rows cut out of the pool at random places: as fast as copying, and no two rows are alike. */
function* matrixPieces(
  pool: WeightPool,
  type: GgmlTypeName,
  shape: readonly number[],
  seed: number,
): Generator<Uint8Array> {
  const rowBytes = tensorByteLength(type, shape.slice(0, 1))
  const places = Math.floor((pool.bytes.length - rowBytes) / pool.blockBytes)
  const random = randomSource(seed)
  const buffer = new Uint8Array(Math.ceil(PIECE_BYTES / rowBytes) * rowBytes)
  for (let left = tensorByteLength(type, shape); left > 0; left -= buffer.length) {
    const piece = buffer.subarray(0, Math.min(buffer.length, left))
    for (let at = 0; at < piece.length; at += rowBytes) {
      const from = Math.floor((random() / 2 ** 32) * places) * pool.blockBytes
      piece.set(pool.bytes.subarray(from, from + rowBytes), at)
    }
    yield piece
  }
}
