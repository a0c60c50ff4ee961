import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { withTemporaryFile } from './atomic-file.js'
import { checkChoice, checkText } from './checks.js'
import { QUANTIZE_TYPES, type QuantizeType } from './file-types.js'
import { tensorByteLength } from './format.js'
import { checkFreeSpace } from './free-space.js'
import { modelMetadata } from './metadata.js'
import { isMixture, type MixtureName, mixtureType } from './mixtures.js'
import { quantize } from './quantize.js'
import { type RandomModel, type RandomModelOptions, type RandomTensor, randomModel } from './random-model.js'
import { type GgufTensor, writeGguf } from './write.js'

export interface SynthOptions extends RandomModelOptions {
  /** The GGUF file to write; its folder must exist. */
  to: string
  /**
   * Tensors have the types that llama.cpp's quantizer gives them. From F32 to Q2_K they are written directly; the IQ types
   * are quantized by the native addon, which takes minutes at full size. @default 'f16'
   */
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
  if (isMixture(type)) return writeRandomModel(model, { to, type, signal, onProgress })

  return withTemporaryFile(to, async (unquantized) => {
    const half = (fraction: number) => onProgress?.(fraction / 2)
    const written = await writeRandomModel(model, { to: unquantized, type: 'f16', signal, onProgress: half })
    const rest = (fraction: number) => onProgress?.(0.5 + fraction / 2)
    await quantize({ from: unquantized, to, type, signal, onProgress: rest })
    return { ...written, path: to, bytes: (await stat(to)).size }
  })
}

interface WriteOptions extends Pick<SynthOptions, 'to' | 'signal' | 'onProgress'> {
  type: MixtureName
}

async function writeRandomModel(model: RandomModel, options: WriteOptions): Promise<SynthResult> {
  const { to, type: fileType, signal, onProgress } = options
  const { config, name, parameters, vocabulary } = model
  const general = { name, parameters, fileType, tags: [], languages: [] }
  const metadata = new Map([...modelMetadata(config, general), ...vocabulary])
  const tensors = model.tensors.map((tensor) => toGguf(tensor, fileType, config.layers))
  const size = tensors.reduce((sum, { type, shape }) => sum + tensorByteLength(type, shape), 0)
  await checkFreeSpace(dirname(to), size, `A random model of type ${fileType}`)
  const bytes = await writeGguf(to, { metadata, tensors, signal, onProgress })
  return { path: to, tensors: tensors.length, parameters, bytes }
}

function toGguf({ name, shape, data }: RandomTensor, fileType: MixtureName, layers: number): GgufTensor {
  const type = mixtureType(fileType, { name, shape }, layers)
  return { name, shape, type, data: () => data(type) }
}
