import { stat } from 'node:fs/promises'
import { tinyModelPath } from '../src/models/resolve.js'
import { withTemporaryFile } from './atomic-file.js'
import { checkChoice, checkInteger, checkText } from './checks.js'
import { type GgmlTypeName, type GgufMetadata, invalidGguf, tensorByteLength } from './format.js'
import { modelMetadata, tokenizerMetadata } from './metadata.js'
import { QUANTIZE_TYPES, type QuantizeType, quantize } from './quantize.js'
import { makePool, randomSource, type WeightPool } from './random-weights.js'
import { readHeader } from './read.js'
import { type PlannedTensor, planTensors } from './tensor-map.js'
import { readTokenizerFiles } from './tokenizer-files.js'
import { type GgufTensor, writeGguf } from './write.js'

export interface SynthOptions {
  /** The GGUF file to write; its folder must exist. */
  to: string
  /** 32 in Phi-2. @default 32 */
  layers?: number | undefined
  /** @default 2560 */
  embeddingSize?: number | undefined
  /** Must divide `embeddingSize`; Phi-2's heads have 80 features. @default 32 */
  heads?: number | undefined
  /** @default 4 · embeddingSize */
  feedForward?: number | undefined
  /** `f32`, `f16`, `q8_0` and `q4_0` are written directly; the others are quantized by the native addon. @default 'f16' */
  type?: QuantizeType | undefined
  /** The same seed and sizes give the same file. @default 1 */
  seed?: number | undefined
  /** A GGUF file or a checkpoint folder whose vocabulary is taken. @default the embedded phi-2-tiny */
  vocabulary?: string | undefined
  signal?: AbortSignal | undefined
  /** 0 to 1. */
  onProgress?: ((fraction: number) => void) | undefined
}

export interface SynthResult {
  path: string
  tensors: number
  parameters: number
  bytes: number
}

/** What is written without llama.cpp. */
const DIRECT_TYPES = ['f32', 'f16', 'q8_0', 'q4_0'] as const
type DirectType = (typeof DIRECT_TYPES)[number]

/**
 * Writes a Phi-2 model of any size with random weights: for tests, and for measuring speed without a download. It
 * answers nonsense, but it computes just what a real file of that type computes. Weights have the spread that training
 * starts from (0.02; the two projections into the residual stream less), so logits stay finite over long prompts.
 *
 * @example
 * await synth({ to: 'speed.gguf', type: 'q4_0' })                          // full size
 * await synth({ to: 'small.gguf', layers: 2, embeddingSize: 320, heads: 4 })
 *
 * @throws {Phi2Error} `PHI2_IO` when the file cannot be written; those of {@link readHeader} for `vocabulary`; those of
 * {@link quantize} for the other types. A TypeError or RangeError with `PHI2_INVALID_OPTION` for wrong options.
 */
export async function synth(options: SynthOptions): Promise<SynthResult> {
  const { to, type = 'f16', signal } = options
  checkText('to', to)
  checkChoice('type', type, QUANTIZE_TYPES)
  signal?.throwIfAborted()
  if (isDirect(type)) return writeRandomModel(options, to, type)

  return withTemporaryFile(to, async (unquantized) => {
    const onProgress = (fraction: number) => options.onProgress?.(fraction / 2)
    const written = await writeRandomModel({ ...options, onProgress }, unquantized, 'f16')
    signal?.throwIfAborted()
    await quantize({ from: unquantized, to, type })
    options.onProgress?.(1)
    return { ...written, path: to, bytes: (await stat(to)).size }
  })
}

function isDirect(type: QuantizeType): type is DirectType {
  return (DIRECT_TYPES as readonly string[]).includes(type)
}

async function writeRandomModel(options: SynthOptions, path: string, type: DirectType): Promise<SynthResult> {
  const { signal, onProgress, seed = 1 } = options
  const sizes = checkSizes(options)
  checkInteger('seed', seed, 0, 2 ** 32 - 1)
  const vocabulary = await readVocabulary(options.vocabulary ?? tinyModelPath())
  const config = { ...sizes, ...FIXED, vocabularySize: vocabularySize(vocabulary) }
  const planned = planTensors(config)
  const parameters = planned.reduce((sum, { shape }) => sum + shape.reduce((product, length) => product * length, 1), 0)
  const general = {
    name: `phi-2-random-${sizes.layers}x${sizes.embeddingSize}`,
    parameters,
    fileType: type,
    tags: [],
    languages: [],
  }
  const metadata = new Map([...modelMetadata(config, general), ...vocabulary])
  const pools = new Map<string, WeightPool>()
  const tensors = planned.map((tensor, index) =>
    randomTensor(tensor, type, sizes.layers, Math.imul(seed + 1, 0x9e3779b1) + index, pools),
  )
  const bytes = await writeGguf(path, { metadata, tensors, signal, onProgress })
  return { path, tensors: tensors.length, parameters, bytes }
}

/** What is the same in every model of this kind. */
const FIXED = { contextSize: 2048, layerNormEpsilon: 1e-5, ropeTheta: 10000 }
const ROTARY_SHARE = 0.4
/** The smallest head with a pair of rotary features. */
const MIN_HEAD = 5

function checkSizes(options: SynthOptions) {
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
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() ?? false
  if (isFolder) {
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

function randomTensor(
  planned: PlannedTensor,
  fileType: DirectType,
  layers: number,
  seed: number,
  pools: Map<string, WeightPool>,
): GgufTensor {
  const { name, shape } = planned
  const type = typeOf(planned, fileType)
  if (shape.length === 1) {
    const value = name.endsWith('_norm.weight') ? 1 : 0
    return { name, type, shape, data: () => [new Uint8Array(new Float32Array(shape[0]!).fill(value).buffer)] }
  }
  const addsToResidual = /\.(attn_output|ffn_down)\./.test(name)
  const spread = addsToResidual ? SPREAD / Math.sqrt(2 * layers) : SPREAD
  return { name, type, shape, data: () => matrixPieces(poolFor(pools, type, spread), type, shape, seed) }
}

/** llama.cpp's mixture for Q4_0 and Q8_0: the output matrix of a Q4_0 file is Q6_K, or Q8_0 if its rows are too odd. */
function typeOf({ name, shape }: PlannedTensor, fileType: DirectType): GgmlTypeName {
  if (shape.length === 1) return 'f32'
  if (fileType !== 'q4_0' || name !== 'output.weight') return fileType
  return shape[0]! % 256 === 0 ? 'q6_k' : 'q8_0'
}

function poolFor(pools: Map<string, WeightPool>, type: GgmlTypeName, spread: number): WeightPool {
  const key = `${type} ${spread}`
  const pool = pools.get(key) ?? makePool(type, spread)
  pools.set(key, pool)
  return pool
}

const PIECE_BYTES = 4 * 1024 * 1024

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
