import { FILE_TYPES, type FileTypeName } from './file-types.js'
import { GGML_TYPES, type GgmlTypeName } from './format.js'

/** Which matrices a file type spares, and by how much; the rest takes its base type. */
interface Mixture {
  attnV?: (layer: number, layers: number) => GgmlTypeName | false
  ffnDown?: (layer: number, layers: number) => GgmlTypeName | false
  attnOutput?: GgmlTypeName
}

/** The first and the last eighth of the layers, and every third between. */
function matters(layer: number, layers: number): boolean {
  const eighth = Math.floor(layers / 8)
  return layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2
}

const MEDIUM = (layer: number, layers: number) => matters(layer, layers) && 'q6_k'

/**
 * llama.cpp's mixtures (src/llama-quant.cpp) as they come out for Phi-2 with separate q, k and v and without an importance
 * matrix.
 */
const MIXTURES = {
  f32: {},
  f16: {},
  bf16: {},
  q8_0: {},
  q6_k: {},
  q5_k_m: { attnV: MEDIUM, ffnDown: MEDIUM },
  q5_k_s: {},
  q5_1: {},
  q5_0: {},
  q4_k_m: { attnV: MEDIUM, ffnDown: MEDIUM },
  q4_k_s: {
    attnV: (layer) => layer < 4 && 'q5_k',
    ffnDown: (layer, layers) => layer < Math.floor(layers / 8) && 'q5_k',
  },
  q4_1: {},
  q4_0: {},
  q3_k_l: { attnV: () => 'q5_k', ffnDown: () => 'q5_k', attnOutput: 'q5_k' },
  q3_k_m: {
    attnV: (layer) => (layer < 2 ? 'q5_k' : 'q4_k'),
    ffnDown: (layer, layers) => (layer < Math.floor(layers / 16) ? 'q5_k' : 'q4_k'),
    attnOutput: 'q4_k',
  },
  q3_k_s: {},
  q2_k: { attnV: () => 'q3_k', ffnDown: () => 'q3_k', attnOutput: 'q3_k' },
} satisfies { readonly [Name in FileTypeName]?: Mixture }

/** The file types whose mixture is known here. */
export type MixtureName = keyof typeof MIXTURES

export const MIXTURE_NAMES = Object.keys(MIXTURES) as MixtureName[]

export function isMixture(fileType: string): fileType is MixtureName {
  return Object.hasOwn(MIXTURES, fileType)
}

/**
 * What llama.cpp's quantizer makes of a tensor of Phi-2 in a file of this type.
 * @param shape GGUF order
 */
export function mixtureType(
  fileType: MixtureName,
  { name, shape }: { name: string; shape: readonly number[] },
  layers: number,
): GgmlTypeName {
  if (shape.length === 1) return 'f32'
  const rowLength = shape[0]!
  const type = name === 'output.weight' ? outputType(FILE_TYPES[fileType].base) : layerType(fileType, name, layers)
  return rowLength % GGML_TYPES[type].blockSize === 0 ? type : SMALLER_BLOCKS[type]!
}

/** The output matrix matters most. */
function outputType(base: GgmlTypeName): GgmlTypeName {
  return base.startsWith('q') && base !== 'q8_0' ? 'q6_k' : base
}

function layerType(fileType: MixtureName, name: string, layers: number): GgmlTypeName {
  const { attnV, ffnDown, attnOutput }: Mixture = MIXTURES[fileType]
  const { base } = FILE_TYPES[fileType]
  const [, number, module] = /^blk\.(\d+)\.(\w+)\.weight$/.exec(name) ?? []
  const layer = Number(number)
  if (module === 'attn_v') return attnV?.(layer, layers) || base
  if (module === 'ffn_down') return ffnDown?.(layer, layers) || base
  return (module === 'attn_output' && attnOutput) || base
}

/** Instead of blocks of 256 values, where rows are no multiple of that. */
const SMALLER_BLOCKS: { readonly [type: string]: GgmlTypeName } = {
  q2_k: 'q4_0',
  q3_k: 'q4_0',
  q4_k: 'q5_0',
  q5_k: 'q5_1',
  q6_k: 'q8_0',
}
