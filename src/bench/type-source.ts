import { FILE_TYPES, fileTypeName } from '../../gguf/file-types.js'
import { FLOAT_TYPES } from '../../gguf/format.js'
import { isMixture } from '../../gguf/mixtures.js'
import { quantize } from '../../gguf/quantize.js'
import { type RandomModelOptions, randomModel } from '../../gguf/random-model.js'
import { synth } from '../../gguf/synth.js'
import { Phi2Error } from '../errors.js'
import { readFileType } from '../models/file-type.js'
import type { MadeType } from '../models/names.js'

interface MakeOptions {
  signal?: AbortSignal | undefined
  onProgress?: (fraction: number) => void
}

/** How a file of one type is come by. */
export interface TypeSource {
  /** Bytes on the disk that making it needs at most. */
  room: number
  /** Writes it and gives its size. */
  make(to: string, options: MakeOptions): Promise<number>
}

/** @throws `PHI2_QUANTIZE_FAILED` for a model that is quantized already, and the codes of `quantize` */
export async function quantizedSource(from: string, type: MadeType): Promise<TypeSource> {
  const id = await readFileType(from)
  if (id !== undefined && !FLOAT_TYPES.some((name) => FILE_TYPES[name].id === id)) {
    throw new Phi2Error(
      'PHI2_QUANTIZE_FAILED',
      `${from} is quantized already (${fileTypeName(id) ?? id}). Expected the model in ${FLOAT_TYPES.join(', ')}, of which each type is made.`,
    )
  }
  const { bytes } = await quantize({ from, type, dryRun: true })
  return { room: bytes, make: async (to, options) => (await quantize({ ...options, from, to, type })).bytes }
}

/** @throws those of `synth` for the sizes */
export async function randomSource(sizes: RandomModelOptions, type: MadeType): Promise<TypeSource> {
  const { parameters } = await randomModel(sizes)
  const file = (parameters * FILE_TYPES[type].bits) / 8
  // What is not written directly is quantized from F16.
  const room = isMixture(type) ? file : file + 2 * parameters
  return { room, make: async (to, options) => (await synth({ ...sizes, ...options, to, type })).bytes }
}
