import { type FileHandle, open } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { writeAtomically } from './atomic-file.js'
import {
  align,
  alignmentOf,
  ELEMENT_BYTES,
  GGML_TYPES,
  GGUF_MAGIC,
  GGUF_VERSION,
  type GgmlTypeName,
  type GgufElementType,
  type GgufMetadata,
  type GgufScalars,
  type GgufValue,
  invalidGguf,
  MAX_DIMENSIONS,
  MAX_TENSOR_NAME,
  tensorByteLength,
  VALUE_TYPE_IDS,
} from './format.js'
import { checkFreeSpace } from './free-space.js'
import { verifyGguf } from './verify.js'
import { type Pieces, writeAll, writePieces } from './write-pieces.js'

/** One tensor to write. Its data is asked for when its turn comes, piece by piece, so that memory stays small. */
export interface GgufTensor {
  name: string
  type: GgmlTypeName
  /** GGUF order: the row length first. */
  shape: readonly number[]
  /** Exactly the bytes of the tensor. A piece may be reused for the next one once it was taken. */
  data: () => Pieces
}

export interface WriteGgufOptions {
  metadata: GgufMetadata
  tensors: readonly GgufTensor[]
  /** Read the file back before it gets its name; then the data of each tensor is asked for twice. @default false */
  verify?: boolean | undefined
  signal?: AbortSignal | undefined
  /** 0 to 1, by bytes of tensor data. */
  onProgress?: ((fraction: number) => void) | undefined
}

/**
 * Writes a GGUF file of version 3 and gives its size in bytes. It is written under a temporary name in the same folder
 * and renamed at the end, so a failure or an abort leaves nothing under `path`, or leaves the older file there.
 *
 * @example
 * await writeGguf('one.gguf', {
 *   metadata: new Map([['general.architecture', { type: 'string', value: 'phi2' }]]),
 *   tensors: [{ name: 'a', type: 'f32', shape: [2], data: () => [new Uint8Array(8)] }],
 * })
 *
 * @throws {Phi2Error} `PHI2_INVALID_GGUF` when keys or tensors cannot be stored or a tensor gives too many or too few
 * bytes, `PHI2_NO_SPACE` when it does not fit on the disk, `PHI2_IO` when it cannot be written or `verify` finds it changed.
 * Aborting throws `signal.reason`.
 */
export async function writeGguf(path: string, options: WriteGgufOptions): Promise<number> {
  const { verify = false, onProgress } = options
  const layout = layOut(options)
  const bytes = layout.header.length + layout.dataBytes
  await checkFreeSpace(dirname(path), bytes, `Writing ${basename(path)}`)
  const half = (done: number) => (fraction: number) => onProgress?.((done + fraction) / 2)
  return writeAtomically(path, async (temporaryPath) => {
    const file = await open(temporaryPath, 'wx')
    try {
      await writeAll(file, layout.header)
      await writeTensors(file, layout, verify ? { ...options, onProgress: half(0) } : options)
    } finally {
      await file.close()
    }
    if (verify) await verifyGguf(temporaryPath, { ...options, onProgress: half(1) })
    return bytes
  })
}

/** @internal */
export interface Layout {
  header: Uint8Array
  alignment: number
  /** With the padding of the last tensor, as llama.cpp expects it. */
  dataBytes: number
}

/** @internal The header of the file and how many bytes of data follow it. */
export function layOut({ metadata, tensors }: Pick<WriteGgufOptions, 'metadata' | 'tensors'>): Layout {
  const alignment = alignmentOf(metadata)
  const bytes = new ByteWriter()
  bytes.uint32(GGUF_MAGIC)
  bytes.uint32(GGUF_VERSION)
  bytes.uint64(tensors.length)
  bytes.uint64(metadata.size)
  for (const [key, value] of metadata) checkedKeyValue(bytes, key, value)
  let offset = 0
  const names = new Set<string>()
  for (const tensor of tensors) {
    checkTensor(tensor, names)
    writeTensorInfo(bytes, tensor, offset)
    offset = align(offset + tensorByteLength(tensor.type, tensor.shape), alignment)
  }
  bytes.pad(alignment)
  return { header: bytes.take(), alignment, dataBytes: offset }
}

function checkedKeyValue(bytes: ByteWriter, key: string, value: GgufValue): void {
  if (key === '') throw invalidGguf('a key must not be empty')
  try {
    writeKeyValue(bytes, key, value)
  } catch (error) {
    throw invalidGguf(`key ${key} cannot be stored as ${value.type}: ${(error as Error).message}`)
  }
}

function writeKeyValue(bytes: ByteWriter, key: string, value: GgufValue): void {
  bytes.string(key)
  bytes.uint32(VALUE_TYPE_IDS[value.type])
  if (value.type !== 'array') {
    bytes.value(value.type, value.value)
    return
  }
  bytes.uint32(VALUE_TYPE_IDS[value.of])
  bytes.uint64(value.value.length)
  for (const element of value.value) bytes.value(value.of, element)
}

function checkTensor({ name, shape }: GgufTensor, names: Set<string>): void {
  const length = Buffer.byteLength(name)
  if (length === 0 || length > MAX_TENSOR_NAME) {
    throw invalidGguf(`a tensor's name takes 1 to ${MAX_TENSOR_NAME} bytes, ${JSON.stringify(name)} takes ${length}`)
  }
  if (names.has(name)) throw invalidGguf(`tensor ${JSON.stringify(name)} occurs twice`)
  names.add(name)
  if (shape.length > MAX_DIMENSIONS || shape.some((length) => !Number.isSafeInteger(length) || length < 0)) {
    throw invalidGguf(`tensor ${JSON.stringify(name)} has the impossible shape ${shape.join('×')}`)
  }
}

function writeTensorInfo(bytes: ByteWriter, { name, type, shape }: GgufTensor, offset: number): void {
  bytes.string(name)
  bytes.uint32(shape.length)
  for (const length of shape) bytes.uint64(length)
  bytes.uint32(GGML_TYPES[type].id)
  bytes.uint64(offset)
}

async function writeTensors(file: FileHandle, layout: Layout, options: WriteGgufOptions): Promise<void> {
  const { tensors, signal, onProgress } = options
  let total = 0
  for (const tensor of tensors) {
    const expected = tensorByteLength(tensor.type, tensor.shape)
    const onWritten = (bytes: number) => onProgress?.((total + bytes) / layout.dataBytes)
    const written = await writePieces(file, tensor.data(), expected, onWritten, signal)
    if (written !== expected) {
      const found = written > expected ? 'more' : `only ${written}`
      throw invalidGguf(`tensor ${JSON.stringify(tensor.name)} takes ${expected} bytes, its data gives ${found}`)
    }
    const padding = align(written, layout.alignment) - written
    await writeAll(file, new Uint8Array(padding))
    total += written + padding
  }
}

/** Little-endian values into a buffer that grows. */
class ByteWriter {
  private bytes = Buffer.alloc(1024 * 1024)
  private length = 0

  uint32(value: number): void {
    const at = this.reserve(4)
    this.bytes.writeUInt32LE(value, at)
  }

  /** Without a bigint: a vocabulary has a hundred thousand lengths. */
  uint64(value: number): void {
    this.uint32(value % 2 ** 32)
    this.uint32(Math.floor(value / 2 ** 32))
  }

  string(value: string): void {
    const length = Buffer.byteLength(value)
    this.uint64(length)
    const at = this.reserve(length)
    this.bytes.write(value, at)
  }

  /** A number out of the range of its type throws a RangeError. */
  value(type: GgufElementType, value: number | bigint | boolean | string): void {
    if (type === 'string') {
      this.string(value as string)
      return
    }
    const at = this.reserve(ELEMENT_BYTES[type])
    STORE[type](this.bytes, value as never, at)
  }

  pad(alignment: number): void {
    this.reserve(align(this.length, alignment) - this.length)
  }

  take(): Uint8Array {
    return this.bytes.subarray(0, this.length)
  }

  /** Makes room and gives the place where it begins. It may replace `bytes`. */
  private reserve(length: number): number {
    const at = this.length
    if (at + length > this.bytes.length) {
      const larger = Buffer.alloc(Math.max(this.bytes.length * 2, at + length))
      this.bytes.copy(larger)
      this.bytes = larger
    }
    this.length = at + length
    return at
  }
}

/** Buffer takes NaN for 0 and cuts fractions off. */
function integer(value: number): number {
  if (Number.isInteger(value)) return value
  throw new RangeError(`expected an integer, found ${value}`)
}

const STORE: {
  readonly [T in Exclude<GgufElementType, 'string'>]: (bytes: Buffer, value: GgufScalars[T], at: number) => number
} = {
  uint8: (bytes, value, at) => bytes.writeUInt8(integer(value), at),
  int8: (bytes, value, at) => bytes.writeInt8(integer(value), at),
  bool: (bytes, value, at) => bytes.writeUInt8(value ? 1 : 0, at),
  uint16: (bytes, value, at) => bytes.writeUInt16LE(integer(value), at),
  int16: (bytes, value, at) => bytes.writeInt16LE(integer(value), at),
  uint32: (bytes, value, at) => bytes.writeUInt32LE(integer(value), at),
  int32: (bytes, value, at) => bytes.writeInt32LE(integer(value), at),
  uint64: (bytes, value, at) => bytes.writeBigUInt64LE(value, at),
  int64: (bytes, value, at) => bytes.writeBigInt64LE(value, at),
  float32: (bytes, value, at) => bytes.writeFloatLE(value, at),
  float64: (bytes, value, at) => bytes.writeDoubleLE(value, at),
}
