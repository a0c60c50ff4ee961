import { optionError } from '../src/errors.js'
import { describe } from './checks.js'
import type { GgmlTypeName } from './format.js'

/** What an importance matrix does for a file type. `required`: without one the result would be garbage. */
export type ImatrixUse = 'unused' | 'optional' | 'recommended' | 'required'

export interface FileType {
  /** `general.file_type`, `enum llama_ftype` in llama.cpp's `llama.h`. */
  readonly id: number
  /** What its matrices are stored in; most types store a few that matter more in a better one. */
  readonly base: GgmlTypeName
  /** Bits per weight of a Phi-2 with separate q, k and v; of types that need an importance matrix, with one. */
  readonly bits: number
  readonly imatrix: ImatrixUse
  /** Why a Phi-2 is not stored in it. */
  readonly refusal?: string
}

const TERNARY = 'it suits models trained with the three weights -1, 0 and 1, which Phi-2 was not: the result is garbage'
const BINARY = 'it suits models trained with one bit for a weight, which Phi-2 was not: the result is garbage'

/** Every file type of llama.cpp under its name in lower case, large ones first. The one place for these facts. */
export const FILE_TYPES = {
  f32: { id: 0, base: 'f32', bits: 32, imatrix: 'unused' },
  f16: { id: 1, base: 'f16', bits: 16.01, imatrix: 'unused' },
  bf16: { id: 32, base: 'bf16', bits: 16.01, imatrix: 'unused' },
  q8_0: { id: 7, base: 'q8_0', bits: 8.51, imatrix: 'unused' },
  q6_k: { id: 18, base: 'q6_k', bits: 6.57, imatrix: 'optional' },
  q5_1: { id: 9, base: 'q5_1', bits: 6.04, imatrix: 'optional' },
  q5_k_m: { id: 17, base: 'q5_k', bits: 5.76, imatrix: 'optional' },
  q5_k_s: { id: 16, base: 'q5_k', bits: 5.56, imatrix: 'optional' },
  q5_0: { id: 8, base: 'q5_0', bits: 5.56, imatrix: 'optional' },
  q4_1: { id: 3, base: 'q4_1', bits: 5.08, imatrix: 'optional' },
  q4_k_m: { id: 15, base: 'q4_k', bits: 5.0, imatrix: 'optional' },
  q4_k_s: { id: 14, base: 'q4_k', bits: 4.65, imatrix: 'optional' },
  iq4_nl: { id: 25, base: 'iq4_nl', bits: 4.64, imatrix: 'optional' },
  q4_0: { id: 2, base: 'q4_0', bits: 4.61, imatrix: 'optional' },
  q3_k_l: { id: 13, base: 'q3_k', bits: 4.53, imatrix: 'recommended' },
  iq4_xs: { id: 30, base: 'iq4_xs', bits: 4.42, imatrix: 'optional' },
  q3_k_m: { id: 12, base: 'q3_k', bits: 4.1, imatrix: 'recommended' },
  iq3_m: { id: 27, base: 'iq3_s', bits: 3.8, imatrix: 'recommended' },
  q3_k_s: { id: 11, base: 'q3_k', bits: 3.59, imatrix: 'recommended' },
  iq3_s: { id: 26, base: 'iq3_s', bits: 3.59, imatrix: 'recommended' },
  iq3_xs: { id: 22, base: 'iq3_s', bits: 3.45, imatrix: 'required' },
  q2_k: { id: 10, base: 'q2_k', bits: 3.19, imatrix: 'recommended' },
  iq3_xxs: { id: 23, base: 'iq3_xxs', bits: 3.16, imatrix: 'required' },
  iq2_m: { id: 29, base: 'iq2_s', bits: 2.92, imatrix: 'required' },
  q2_k_s: { id: 21, base: 'q2_k', bits: 2.89, imatrix: 'required' },
  iq2_s: { id: 28, base: 'iq2_xs', bits: 2.74, imatrix: 'required' },
  iq2_xs: { id: 20, base: 'iq2_xs', bits: 2.52, imatrix: 'required' },
  iq2_xxs: { id: 19, base: 'iq2_xxs', bits: 2.33, imatrix: 'required' },
  iq1_m: { id: 31, base: 'iq1_m', bits: 2.1, imatrix: 'required' },
  iq1_s: { id: 24, base: 'iq1_s', bits: 1.97, imatrix: 'required' },
  q2_0: { id: 41, base: 'q2_0', bits: 2.57, imatrix: 'unused', refusal: TERNARY },
  tq2_0: { id: 37, base: 'tq2_0', bits: 2.4, imatrix: 'unused', refusal: TERNARY },
  tq1_0: { id: 36, base: 'tq1_0', bits: 2.06, imatrix: 'unused', refusal: TERNARY },
  q1_0: { id: 40, base: 'q1_0', bits: 1.39, imatrix: 'unused', refusal: BINARY },
  mxfp4_moe: {
    id: 38,
    base: 'mxfp4',
    bits: 8.51,
    imatrix: 'unused',
    refusal: 'it stores the experts of a mixture in 4 bits, and Phi-2 has none: all would be q8_0. Use q8_0',
  },
  nvfp4: {
    id: 39,
    base: 'nvfp4',
    bits: 4.5,
    imatrix: 'unused',
    refusal: 'llama.cpp only takes over weights that were trained or published in it; it cannot make them. Use q4_k_m',
  },
} as const satisfies Record<string, FileType>

export type FileTypeName = keyof typeof FILE_TYPES

/** What `quantize` writes. */
export type QuantizeType = {
  [Name in FileTypeName]: (typeof FILE_TYPES)[Name] extends { refusal: string } ? never : Name
}[FileTypeName]

export const QUANTIZE_TYPES = Object.entries<FileType>(FILE_TYPES)
  .filter(([, { refusal }]) => refusal === undefined)
  .map(([name]) => name as QuantizeType)

/** Short for a medium size, as llama.cpp takes them. */
const ALIASES: ReadonlyMap<string, QuantizeType> = new Map([
  ['q3_k', 'q3_k_m'],
  ['q4_k', 'q4_k_m'],
  ['q5_k', 'q5_k_m'],
])

const REPACKED = 'llama.cpp no longer stores it. Use q4_0: its blocks are put in this order when the model is loaded'
const REMOVED_TYPE = 'llama.cpp removed it in 2023. Use q4_k_m'

/** Types of older versions of llama.cpp, for the one who finds them in an old guide. */
const REMOVED: ReadonlyMap<string, string> = new Map([
  ['q4_0_4_4', REPACKED],
  ['q4_0_4_8', REPACKED],
  ['q4_0_8_8', REPACKED],
  ['q4_1_some_f16', REMOVED_TYPE],
  ['q4_2', REMOVED_TYPE],
  ['q4_3', REMOVED_TYPE],
])

/**
 * The type of a name in upper or lower case, such as `Q4_K_M`.
 * @throws {TypeError | RangeError} `PHI2_INVALID_OPTION` with the reason when there is no such type or it makes no sense.
 */
export function quantizeType(given: unknown): QuantizeType {
  const name = typeof given === 'string' ? given.toLowerCase() : ''
  const type = ALIASES.get(name) ?? name
  if ((QUANTIZE_TYPES as readonly string[]).includes(type)) return type as QuantizeType
  const refusal = (FILE_TYPES as Readonly<Record<string, FileType>>)[name]?.refusal ?? REMOVED.get(name)
  if (refusal !== undefined) throw optionError('range', `Phi-2 is not quantized to ${name}: ${refusal}.`)
  throw optionError(
    typeof given === 'string' ? 'range' : 'type',
    `Expected one of ${QUANTIZE_TYPES.join(', ')} for type but received ${describe(given)}`,
  )
}

/** The name of a `general.file_type`, or undefined for one of an older or newer llama.cpp. */
export function fileTypeName(id: number): FileTypeName | undefined {
  return (Object.keys(FILE_TYPES) as FileTypeName[]).find((name) => FILE_TYPES[name].id === id)
}

/** What needs no importance matrix, and so can be made of any weights at hand. */
export type TypeWithoutImatrix = {
  [Name in QuantizeType]: (typeof FILE_TYPES)[Name]['imatrix'] extends 'required' ? never : Name
}[QuantizeType]

export const TYPES_WITHOUT_IMATRIX = QUANTIZE_TYPES.filter(needsNoImatrix)

export function needsNoImatrix(type: QuantizeType): type is TypeWithoutImatrix {
  return (FILE_TYPES[type] as FileType).imatrix !== 'required'
}
