import { dirname } from 'node:path'
import { checkTarget, withTemporaryFile } from './atomic-file.js'
import { checkBoolean, checkChoice, checkText, checkWork, type OptionNames } from './checks.js'
import { tensorByteLength } from './format.js'
import { checkFreeSpace } from './free-space.js'
import { modelMetadata } from './metadata.js'
import { isMixture, type MixtureName, mixtureType } from './mixtures.js'
import { quantize } from './quantize.js'
import { type RandomModel, type RandomModelOptions, type RandomTensor, randomModel } from './random-model.js'
import { SYNTH_TYPES, type SynthType } from './synth-types.js'
import { type GgufTensor, writeGguf } from './write.js'

export interface SynthOptions extends RandomModelOptions {
  /** The GGUF file to write; its folder must exist. @default layers, width and type, as in `phi-2-random-32x2560-f16.gguf` */
  to?: string | undefined
  /**
   * Tensors have the types that llama.cpp's quantizer gives them. The IQ types are made by it, in the native addon, which
   * takes minutes at full size; all others are written directly. Types that need an importance matrix cannot be made.
   * @default 'f16'
   */
  type?: SynthType | undefined
  /** Whether an older file under `to` is replaced, once the new one is complete. @default true */
  overwrite?: boolean | undefined
  /** Aborting throws `signal.reason` and leaves nothing behind. */
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

const OPTIONS: OptionNames<SynthOptions> = {
  to: true,
  layers: true,
  embeddingSize: true,
  heads: true,
  feedForward: true,
  type: true,
  seed: true,
  vocabulary: true,
  overwrite: true,
  signal: true,
  onProgress: true,
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
 * @throws {Phi2Error} `PHI2_NO_SPACE` or `PHI2_IO` when the file cannot be written or is there already
 * (`overwrite: false`); those of {@link readHeader} for `vocabulary`; those of {@link quantize} for the IQ types. A
 * TypeError or RangeError with `PHI2_INVALID_OPTION` for wrong options.
 */
export async function synth(options: SynthOptions): Promise<SynthResult> {
  checkWork(options, OPTIONS)
  const { type = 'f16', overwrite = true, signal, onProgress } = options
  if (options.to !== undefined) checkText('to', options.to)
  checkChoice('type', type, SYNTH_TYPES)
  checkBoolean('overwrite', overwrite)
  signal?.throwIfAborted()
  const model = await randomModel(options)
  const to = options.to ?? `${model.name}-${type}.gguf`
  await checkTarget(to, overwrite, options.vocabulary === undefined ? [] : [options.vocabulary])
  if (isMixture(type)) return writeRandomModel(model, { to, type, signal, onProgress })

  return withTemporaryFile(to, async (unquantized) => {
    const half = (fraction: number) => onProgress?.(fraction / 2)
    const written = await writeRandomModel(model, { to: unquantized, type: 'f16', signal, onProgress: half })
    const rest = (fraction: number) => onProgress?.(0.5 + fraction / 2)
    const { bytes } = await quantize({ from: unquantized, to, type, signal, onProgress: rest })
    return { ...written, path: to, bytes }
  })
}

interface WriteOptions extends Pick<SynthOptions, 'signal' | 'onProgress'> {
  to: string
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
