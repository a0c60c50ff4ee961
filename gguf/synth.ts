import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { withTemporaryFile } from './atomic-file.js'
import { checkChoice, checkText } from './checks.js'
import { type GgmlTypeName, tensorByteLength } from './format.js'
import { checkFreeSpace } from './free-space.js'
import { modelMetadata } from './metadata.js'
import { QUANTIZE_TYPES, type QuantizeType, quantize } from './quantize.js'
import { type RandomModel, type RandomModelOptions, type RandomTensor, randomModel } from './random-model.js'
import type { PlannedTensor } from './tensor-map.js'
import { writeGguf } from './write.js'

export interface SynthOptions extends RandomModelOptions {
  /** The GGUF file to write; its folder must exist. */
  to: string
  /** `f32`, `f16`, `bf16`, `q8_0` and `q4_0` are written directly; the others are quantized by the native addon. @default 'f16' */
  type?: QuantizeType | undefined
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
const DIRECT_TYPES = ['f32', 'f16', 'bf16', 'q8_0', 'q4_0'] as const
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
 * @throws {Phi2Error} `PHI2_NO_SPACE` or `PHI2_IO` when the file cannot be written; those of {@link readHeader} for
 * `vocabulary`; those of {@link quantize} for the other types. A TypeError or RangeError with `PHI2_INVALID_OPTION` for
 * wrong options.
 */
export async function synth(options: SynthOptions): Promise<SynthResult> {
  const { to, type = 'f16', signal, onProgress } = options
  checkText('to', to)
  checkChoice('type', type, QUANTIZE_TYPES)
  signal?.throwIfAborted()
  const model = await randomModel(options)
  if (isDirect(type)) return writeRandomModel(model, { to, type, signal, onProgress })

  return withTemporaryFile(to, async (unquantized) => {
    const half = (fraction: number) => onProgress?.(fraction / 2)
    const written = await writeRandomModel(model, { to: unquantized, type: 'f16', signal, onProgress: half })
    signal?.throwIfAborted()
    await quantize({ from: unquantized, to, type })
    onProgress?.(1)
    return { ...written, path: to, bytes: (await stat(to)).size }
  })
}

function isDirect(type: QuantizeType): type is DirectType {
  return (DIRECT_TYPES as readonly string[]).includes(type)
}

interface WriteOptions extends Pick<SynthOptions, 'to' | 'signal' | 'onProgress'> {
  type: DirectType
}

async function writeRandomModel(model: RandomModel, options: WriteOptions): Promise<SynthResult> {
  const { to, type: fileType, signal, onProgress } = options
  const { config, name, parameters, vocabulary } = model
  const general = { name, parameters, fileType, tags: [], languages: [] }
  const metadata = new Map([...modelMetadata(config, general), ...vocabulary])
  const tensors = model.tensors.map((tensor) => toGguf(tensor, fileType))
  const size = tensors.reduce((sum, { type, shape }) => sum + tensorByteLength(type, shape), 0)
  await checkFreeSpace(dirname(to), size, `A random model of type ${fileType}`)
  const bytes = await writeGguf(to, { metadata, tensors, signal, onProgress })
  return { path: to, tensors: tensors.length, parameters, bytes }
}

function toGguf({ data, ...planned }: RandomTensor, fileType: DirectType) {
  const type = typeOf(planned, fileType)
  return { name: planned.name, shape: planned.shape, type, data: () => data(type) }
}

/** llama.cpp's mixture for Q4_0 and Q8_0: the output matrix of a Q4_0 file is Q6_K, or Q8_0 if its rows are too odd. */
function typeOf({ name, shape }: PlannedTensor, fileType: DirectType): GgmlTypeName {
  if (shape.length === 1) return 'f32'
  if (fileType !== 'q4_0' || name !== 'output.weight') return fileType
  return shape[0]! % 256 === 0 ? 'q6_k' : 'q8_0'
}
