import { type FileHandle, open } from 'node:fs/promises'
import { Phi2Error } from '../src/errors.js'
import {
  align,
  alignmentOf,
  ELEMENT_BYTES,
  GGML_TYPES,
  GGUF_MAGIC,
  GGUF_VERSION,
  type GgmlTypeName,
  type GgufArray,
  type GgufElementType,
  type GgufHeader,
  type GgufMetadata,
  type GgufScalar,
  type GgufTensorInfo,
  type GgufValue,
  invalidGguf,
  MAX_DIMENSIONS,
  MAX_TENSOR_NAME,
  tensorByteLength,
  VALUE_TYPE_IDS,
} from './format.js'

/** Phi-2's header takes 2 MB and the largest vocabularies of any model about 15 MB, so one read is nearly always enough. */
const FIRST_READ = 4 * 1024 * 1024
/** Nothing larger is taken for a header: this bounds the memory that a hostile file can ask for. */
const MAX_HEADER = 64 * 1024 * 1024
const MAX_KEY = 65535
/** Name length, dimension count, type and offset of a tensor without dimensions: bounds the count of tensors. */
const MIN_TENSOR_INFO = 8 + 4 + 4 + 8
/** Key length, value type and the smallest value. */
const MIN_KEY_VALUE = 8 + 4 + 1

/**
 * Reads the header of a GGUF file (versions 2 and 3): its keys and what its tensors are, not their data.
 * Safe on corrupt and hostile files: it reads at most 64 MiB, and every count is checked against the bytes that are left.
 * Text that is not UTF-8 comes back with U+FFFD.
 *
 * @example
 * const { metadata, tensors } = await readHeader('phi-2.gguf')
 * metadata.get('general.architecture') // { type: 'string', value: 'phi2' }
 *
 * @throws {Phi2Error} `PHI2_MODEL_NOT_FOUND` when there is no such file, `PHI2_IO` when it cannot be read, and
 * `PHI2_INVALID_GGUF` when it is no GGUF file, is damaged, or ends before its last tensor (an unfinished download).
 */
export async function readHeader(path: string): Promise<GgufHeader> {
  const file = await openForReading(path)
  try {
    const { size } = await file.stat()
    let bytes = await readStart(file, Math.min(size, FIRST_READ))
    let header = attempt(bytes, size, path)
    if (header === undefined && size > FIRST_READ) {
      bytes = await readStart(file, Math.min(size, MAX_HEADER))
      header = attempt(bytes, size, path)
    }
    if (header !== undefined) return header
    throw bytes.length < size
      ? invalidGguf(`its header is larger than ${MAX_HEADER} bytes`, path)
      : invalidGguf('it ends inside its header; it is truncated or was not downloaded completely', path)
  } finally {
    await file.close()
  }
}

async function openForReading(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r')
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    const message = missing ? `There is no file ${path}.` : `${path} cannot be opened: ${(cause as Error).message}`
    throw new Phi2Error(missing ? 'PHI2_MODEL_NOT_FOUND' : 'PHI2_IO', message, { cause })
  }
}

async function readStart(file: FileHandle, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return bytes.subarray(0, filled)
}

/** The header, or undefined when `bytes` end before it does. */
function attempt(bytes: Uint8Array, fileSize: number, path: string): GgufHeader | undefined {
  try {
    return parseHeader(bytes, fileSize)
  } catch (error) {
    if (error instanceof EndOfBytes) return undefined
    if (error instanceof Phi2Error) throw invalidGguf(error.message, path)
    throw error
  }
}

class EndOfBytes extends Error {}

/** Parses a header out of the first bytes of a file that has `fileSize` bytes in all. */
function parseHeader(bytes: Uint8Array, fileSize: number): GgufHeader {
  const cursor = new Cursor(bytes, fileSize)
  if (cursor.uint32() !== GGUF_MAGIC) throw invalidGguf('it does not begin with "GGUF"')
  const version = cursor.uint32()
  checkVersion(version)
  const tensorCount = cursor.count('tensors', MIN_TENSOR_INFO)
  const keyCount = cursor.count('keys', MIN_KEY_VALUE)
  const metadata = readMetadata(cursor, keyCount)
  const alignment = alignmentOf(metadata)
  const tensors = readTensorInfos(cursor, tensorCount)
  const dataOffset = align(cursor.position, alignment)
  checkLayout(tensors, alignment, dataOffset, fileSize)
  return { version, metadata, tensors, alignment, dataOffset, fileSize }
}

function checkVersion(version: number): void {
  if (version === 2 || version === GGUF_VERSION) return
  if ((version & 0xffff) === 0) throw invalidGguf('it was written for big-endian machines')
  throw invalidGguf(`its version is ${version}; versions 2 and ${GGUF_VERSION} can be read`)
}

function readMetadata(cursor: Cursor, count: number): GgufMetadata {
  const metadata: GgufMetadata = new Map()
  for (let index = 0; index < count; index++) {
    const key = cursor.string(MAX_KEY)
    if (key === '') throw invalidGguf(`key ${index} is empty`)
    if (metadata.has(key)) throw invalidGguf(`key ${quote(key)} occurs twice`)
    metadata.set(key, readValue(cursor, key))
  }
  return metadata
}

const VALUE_TYPES = new Map(
  Object.entries(VALUE_TYPE_IDS).map(([name, id]) => [id as number, name as keyof typeof VALUE_TYPE_IDS]),
)

function readValue(cursor: Cursor, key: string): GgufValue {
  const type = readValueType(cursor, key)
  if (type !== 'array') return { type, value: cursor.value(type) } as GgufScalar
  const of = readValueType(cursor, key)
  if (of === 'array') throw invalidGguf(`key ${quote(key)} is an array of arrays, which is not supported`)
  const length = cursor.count(`elements of ${quote(key)}`, ELEMENT_BYTES[of])
  const value: unknown[] = []
  for (let index = 0; index < length; index++) value.push(cursor.value(of))
  return { type, of, value } as GgufArray
}

function readValueType(cursor: Cursor, key: string): keyof typeof VALUE_TYPE_IDS {
  const id = cursor.uint32()
  const type = VALUE_TYPES.get(id)
  if (type === undefined) throw invalidGguf(`key ${quote(key)} has the unknown value type ${id}`)
  return type
}

const GGML_NAMES = new Map(Object.entries(GGML_TYPES).map(([name, { id }]) => [id as number, name as GgmlTypeName]))

function readTensorInfos(cursor: Cursor, count: number): GgufTensorInfo[] {
  const tensors: GgufTensorInfo[] = []
  const names = new Set<string>()
  for (let index = 0; index < count; index++) {
    const name = cursor.string(MAX_TENSOR_NAME)
    if (names.has(name)) throw invalidGguf(`tensor ${quote(name)} occurs twice`)
    names.add(name)
    const dimensions = cursor.uint32()
    if (dimensions > MAX_DIMENSIONS) {
      throw invalidGguf(`tensor ${quote(name)} has ${dimensions} dimensions; at most ${MAX_DIMENSIONS} are possible`)
    }
    const shape: number[] = []
    for (let d = 0; d < dimensions; d++) shape.push(cursor.size(`dimension ${d} of ${quote(name)}`))
    const id = cursor.uint32()
    const type = GGML_NAMES.get(id)
    if (type === undefined) throw invalidGguf(`tensor ${quote(name)} has the unknown type ${id}`)
    const offset = cursor.size(`offset of ${quote(name)}`)
    tensors.push({ name, type, shape, offset, byteLength: tensorByteLength(type, shape) })
  }
  return tensors
}

/** A name out of the file, short enough for a message. */
function quote(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name)
}

/** llama.cpp asks that tensors follow each other without gaps other than the padding. */
function checkLayout(
  tensors: readonly GgufTensorInfo[],
  alignment: number,
  dataOffset: number,
  fileSize: number,
): void {
  let expected = 0
  for (const { name, offset, byteLength } of tensors) {
    if (offset !== expected) {
      throw invalidGguf(`tensor ${quote(name)} has offset ${offset}, expected ${expected}`)
    }
    if (dataOffset + offset + byteLength > fileSize) {
      throw invalidGguf(
        `tensor ${quote(name)} ends at byte ${dataOffset + offset + byteLength} of a file of ${fileSize}; ` +
          'it is truncated or was not downloaded completely',
      )
    }
    expected = align(offset + byteLength, alignment)
  }
}

/** Reads little-endian values one after the other. Every length is checked before anything is allocated for it. */
class Cursor {
  position = 0
  private readonly view: DataView
  private readonly text = new TextDecoder()

  constructor(
    private readonly bytes: Uint8Array,
    private readonly fileSize: number,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  uint32(): number {
    return this.view.getUint32(this.advance(4), true)
  }

  /** A uint64 that must be a safe integer. */
  size(what: string): number {
    const at = this.advance(8)
    const value = this.view.getUint32(at, true) + this.view.getUint32(at + 4, true) * 2 ** 32
    if (!Number.isSafeInteger(value)) throw invalidGguf(`${what}: ${value} is impossible`)
    return value
  }

  /** A uint64 count of things that take at least `bytesEach` of the rest of the file. */
  count(what: string, bytesEach: number): number {
    const count = this.size(`count of ${what}`)
    const left = this.fileSize - this.position
    if (count * bytesEach > left) throw invalidGguf(`it claims ${count} ${what} but only ${left} bytes follow`)
    if (count * bytesEach > MAX_HEADER) throw invalidGguf(`it claims ${count} ${what}, more than a header can hold`)
    return count
  }

  string(maxBytes = MAX_HEADER): string {
    const length = this.count('bytes of text', 1)
    if (length > maxBytes) throw invalidGguf(`a name of ${length} bytes is longer than the ${maxBytes} allowed`)
    const at = this.advance(length)
    return this.text.decode(this.bytes.subarray(at, at + length))
  }

  value(type: GgufElementType): number | bigint | boolean | string {
    if (type === 'string') return this.string()
    const at = this.advance(ELEMENT_BYTES[type])
    switch (type) {
      case 'uint8':
        return this.view.getUint8(at)
      case 'int8':
        return this.view.getInt8(at)
      case 'bool':
        return this.view.getUint8(at) !== 0
      case 'uint16':
        return this.view.getUint16(at, true)
      case 'int16':
        return this.view.getInt16(at, true)
      case 'uint32':
        return this.view.getUint32(at, true)
      case 'int32':
        return this.view.getInt32(at, true)
      case 'float32':
        return this.view.getFloat32(at, true)
      case 'float64':
        return this.view.getFloat64(at, true)
      case 'uint64':
        return this.view.getBigUint64(at, true)
      case 'int64':
        return this.view.getBigInt64(at, true)
    }
  }

  private advance(length: number): number {
    const at = this.position
    if (at + length > this.bytes.length) throw new EndOfBytes()
    this.position = at + length
    return at
  }
}
