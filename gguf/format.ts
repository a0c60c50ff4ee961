import { Phi2Error } from '../src/errors.js'

/**
 * The words of the GGUF format: value types, ggml tensor types, and the shape of a header.
 * Layout: `ggml/include/gguf.h` of llama.cpp; numbers: `gguf.h` and `ggml.h`.
 */
export const GGUF_MAGIC = 0x46554747 // 'GGUF' read as a little-endian word
export const GGUF_VERSION = 3
export const DEFAULT_ALIGNMENT = 32
/** ggml keeps a tensor's name in 64 bytes, the closing NUL included. */
export const MAX_TENSOR_NAME = 63
export const MAX_DIMENSIONS = 4

/** Ids of the value types, as stored. */
export const VALUE_TYPE_IDS = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
  int64: 11,
  float64: 12,
} as const

export type GgufValueType = keyof typeof VALUE_TYPE_IDS
export type GgufElementType = Exclude<GgufValueType, 'array'>

/** What one value of each type is in TypeScript; 64-bit integers are bigints. */
export interface GgufScalars {
  uint8: number
  int8: number
  uint16: number
  int16: number
  uint32: number
  int32: number
  float32: number
  bool: boolean
  string: string
  uint64: bigint
  int64: bigint
  float64: number
}

export type GgufScalar = { [T in GgufElementType]: { type: T; value: GgufScalars[T] } }[GgufElementType]
/** Arrays of arrays are left out, as llama.cpp refuses them too. */
export type GgufArray = {
  [T in GgufElementType]: { type: 'array'; of: T; value: readonly GgufScalars[T][] }
}[GgufElementType]

/** A value together with its stored type, so that a file can be written back as it was. */
export type GgufValue = GgufScalar | GgufArray

/** Keys in file order. */
export type GgufMetadata = Map<string, GgufValue>

/** Bytes of one value; of a text the fewest, which are those of its length. */
export const ELEMENT_BYTES: Record<GgufElementType, number> = {
  uint8: 1,
  int8: 1,
  bool: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  string: 8,
  uint64: 8,
  int64: 8,
  float64: 8,
}

interface GgmlType {
  readonly id: number
  /** Values in one block; a row holds a whole number of blocks. */
  readonly blockSize: number
  /** Bytes of one block. */
  readonly blockBytes: number
}

/** Every tensor type of ggml: `enum ggml_type` in `ggml.h`, block layouts in `ggml-common.h`. */
export const GGML_TYPES = {
  f32: { id: 0, blockSize: 1, blockBytes: 4 },
  f16: { id: 1, blockSize: 1, blockBytes: 2 },
  q4_0: { id: 2, blockSize: 32, blockBytes: 18 },
  q4_1: { id: 3, blockSize: 32, blockBytes: 20 },
  q5_0: { id: 6, blockSize: 32, blockBytes: 22 },
  q5_1: { id: 7, blockSize: 32, blockBytes: 24 },
  q8_0: { id: 8, blockSize: 32, blockBytes: 34 },
  q8_1: { id: 9, blockSize: 32, blockBytes: 36 },
  q2_k: { id: 10, blockSize: 256, blockBytes: 84 },
  q3_k: { id: 11, blockSize: 256, blockBytes: 110 },
  q4_k: { id: 12, blockSize: 256, blockBytes: 144 },
  q5_k: { id: 13, blockSize: 256, blockBytes: 176 },
  q6_k: { id: 14, blockSize: 256, blockBytes: 210 },
  q8_k: { id: 15, blockSize: 256, blockBytes: 292 },
  iq2_xxs: { id: 16, blockSize: 256, blockBytes: 66 },
  iq2_xs: { id: 17, blockSize: 256, blockBytes: 74 },
  iq3_xxs: { id: 18, blockSize: 256, blockBytes: 98 },
  iq1_s: { id: 19, blockSize: 256, blockBytes: 50 },
  iq4_nl: { id: 20, blockSize: 32, blockBytes: 18 },
  iq3_s: { id: 21, blockSize: 256, blockBytes: 110 },
  iq2_s: { id: 22, blockSize: 256, blockBytes: 82 },
  iq4_xs: { id: 23, blockSize: 256, blockBytes: 136 },
  i8: { id: 24, blockSize: 1, blockBytes: 1 },
  i16: { id: 25, blockSize: 1, blockBytes: 2 },
  i32: { id: 26, blockSize: 1, blockBytes: 4 },
  i64: { id: 27, blockSize: 1, blockBytes: 8 },
  f64: { id: 28, blockSize: 1, blockBytes: 8 },
  iq1_m: { id: 29, blockSize: 256, blockBytes: 56 },
  bf16: { id: 30, blockSize: 1, blockBytes: 2 },
  tq1_0: { id: 34, blockSize: 256, blockBytes: 54 },
  tq2_0: { id: 35, blockSize: 256, blockBytes: 66 },
  mxfp4: { id: 39, blockSize: 32, blockBytes: 17 },
  nvfp4: { id: 40, blockSize: 64, blockBytes: 36 },
  q1_0: { id: 41, blockSize: 128, blockBytes: 18 },
  q2_0: { id: 42, blockSize: 64, blockBytes: 18 },
} as const satisfies Record<string, GgmlType>

export type GgmlTypeName = keyof typeof GGML_TYPES

/** The types that hold each weight as a number of its own. */
export const FLOAT_TYPES = ['f32', 'f16', 'bf16'] as const satisfies readonly GgmlTypeName[]
export type FloatType = (typeof FLOAT_TYPES)[number]

export function isFloatType(type: GgmlTypeName): type is FloatType {
  return (FLOAT_TYPES as readonly string[]).includes(type)
}

/** Types of older files, whose ids are not used again. The packed forms of q4_0 were made in 2024, for Phi-2 as well. */
export const RETIRED_TYPES: { readonly [id: number]: string } = {
  4: 'q4_2',
  5: 'q4_3',
  31: 'q4_0_4_4',
  32: 'q4_0_4_8',
  33: 'q4_0_8_8',
  36: 'iq4_nl_4_4',
  37: 'iq4_nl_4_8',
  38: 'iq4_nl_8_8',
}

export interface GgufTensorInfo {
  name: string
  type: GgmlTypeName
  /** GGUF order: the row length first, so the reverse of PyTorch's. */
  shape: readonly number[]
  /** From the start of the data section. */
  offset: number
  byteLength: number
}

export interface GgufHeader {
  version: number
  metadata: GgufMetadata
  tensors: GgufTensorInfo[]
  alignment: number
  /** Where the data section starts in the file. */
  dataOffset: number
  fileSize: number
}

/**
 * Bytes of a tensor of this type and shape (GGUF order).
 * @throws {Phi2Error} `PHI2_INVALID_GGUF` when a row is not a whole number of blocks or the size is no safe integer.
 */
export function tensorByteLength(type: GgmlTypeName, shape: readonly number[]): number {
  const { blockSize, blockBytes } = GGML_TYPES[type]
  const rowLength = shape[0] ?? 1
  if (rowLength % blockSize !== 0) {
    throw invalidGguf(`rows of ${rowLength} values are not a multiple of the ${blockSize} values in a ${type} block`)
  }
  const bytes = elementCount(shape) * (blockBytes / blockSize)
  if (!Number.isSafeInteger(bytes)) throw invalidGguf(`a tensor of shape ${shape.join('×')} is too large`)
  return bytes
}

/** How many values a tensor of this shape has. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1)
}

export function sumBytes(tensors: readonly { byteLength: number }[]): number {
  return tensors.reduce((sum, { byteLength }) => sum + byteLength, 0)
}

export function align(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment
}

/**
 * The alignment of the data section: `general.alignment`, by default 32.
 * @throws {Phi2Error} `PHI2_INVALID_GGUF` when the key is no power of two of type uint32.
 */
export function alignmentOf(metadata: GgufMetadata): number {
  const entry = metadata.get('general.alignment')
  if (entry === undefined) return DEFAULT_ALIGNMENT
  if (entry.type !== 'uint32' || entry.value === 0 || (entry.value & (entry.value - 1)) !== 0) {
    throw invalidGguf(
      `general.alignment must be a uint32 power of two, found ${String(entry.value)} of type ${entry.type}`,
    )
  }
  return entry.value
}

/** @internal The error of everything in this folder that finds a GGUF file wrong. */
export function invalidGguf(found: string, path?: string): Phi2Error {
  return new Phi2Error('PHI2_INVALID_GGUF', path === undefined ? found : `${path} is not a valid GGUF file: ${found}`)
}
