import { printable } from '../src/printable.js'
import { Cursor } from './cursor.js'
import {
  align,
  alignmentOf,
  GGML_TYPES,
  GGUF_MAGIC,
  GGUF_VERSION,
  type GgmlTypeName,
  type GgufArray,
  type GgufHeader,
  type GgufMetadata,
  type GgufScalar,
  type GgufTensorInfo,
  type GgufValue,
  invalidGguf,
  MAX_DIMENSIONS,
  MAX_TENSOR_NAME,
  RETIRED_TYPES,
  tensorByteLength,
  VALUE_TYPE_IDS,
} from './format.js'

// The same limits as in native/core/gguf_reader.cpp.
const MAX_KEY = 65535
const MAX_TENSORS = 65536
const MAX_KEYS = 4096
/** Name length, dimension count, type and offset of a tensor without dimensions: bounds the count of tensors. */
const MIN_TENSOR_INFO = 8 + 4 + 4 + 8
/** Key length, value type and the smallest value. */
const MIN_KEY_VALUE = 8 + 4 + 1

/**
 * Parses a header out of the first bytes of a file that has `fileSize` bytes in all (infinite where that is not known).
 * Whether the tensors' data is all there is not looked at: {@link missingBytes} tells.
 *
 * @throws {EndOfBytes} when `bytes` end before the header does
 * @throws {Phi2Error} `PHI2_INVALID_GGUF`; the message does not name the file
 */
export function parseHeader(bytes: Uint8Array, fileSize: number): GgufHeader {
  const cursor = new Cursor(bytes, fileSize)
  if (cursor.uint32() !== GGUF_MAGIC) throw invalidGguf(`it does not begin with "GGUF"${guessKind(bytes)}`)
  const version = cursor.uint32()
  checkVersion(version)
  const tensorCount = cursor.count('tensors', MIN_TENSOR_INFO)
  const keyCount = cursor.count('keys', MIN_KEY_VALUE)
  if (tensorCount > MAX_TENSORS || keyCount > MAX_KEYS) {
    throw invalidGguf(`it claims ${tensorCount} tensors and ${keyCount} keys; no model has so many`)
  }
  const metadata = readMetadata(cursor, keyCount)
  const alignment = alignmentOf(metadata)
  const tensors = readTensorInfos(cursor, tensorCount)
  checkLayout(tensors, alignment)
  return { version, metadata, tensors, alignment, dataOffset: align(cursor.position, alignment), fileSize }
}

/** Bytes of the tensors' data that lie past the end of the file: those that a download has still to bring. */
export function missingBytes({ tensors, dataOffset, fileSize }: GgufHeader): number {
  const last = tensors.at(-1)
  return last === undefined ? 0 : Math.max(0, dataOffset + last.offset + last.byteLength - fileSize)
}

/** What people mistake for a model file. */
function guessKind(bytes: Uint8Array): string {
  const start = new TextDecoder().decode(bytes.subarray(0, 64)).trimStart()
  if (start.startsWith('version https://git-lfs')) return '; it is the pointer that Git LFS leaves instead of the file'
  if (/^<(!doctype|html)/i.test(start)) return '; it is a web page'
  if (bytes[0] === 0x50 && bytes[1] === 0x4b) return '; it is a ZIP archive or a checkpoint of PyTorch'
  return bytes[8] === 0x7b && bytes[9] === 0x22 ? '; it looks like safetensors, which `phi2 convert` takes' : ''
}

function checkVersion(version: number): void {
  if (version === 2 || version === GGUF_VERSION) return
  if ((version & 0xffff) === 0) throw invalidGguf('it was written for big-endian machines')
  throw invalidGguf(`its version is ${version}; versions 2 and ${GGUF_VERSION} can be read. Convert the model again`)
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
  const length = cursor.elementCount(`elements of ${quote(key)}`, of)
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
    if (name === '') throw invalidGguf(`tensor ${index} has no name`)
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
    if (type === undefined) throw invalidGguf(`tensor ${quote(name)} has the ${unknownType(id)}`)
    const offset = cursor.size(`offset of ${quote(name)}`)
    tensors.push({ name, type, shape, offset, byteLength: tensorByteLength(type, shape) })
  }
  return tensors
}

function unknownType(id: number): string {
  const retired = RETIRED_TYPES[id]
  if (retired === undefined) return `unknown type ${id}`
  return `type ${retired}, which llama.cpp no longer reads; take a file in q4_0 or iq4_nl instead`
}

/** A name out of the file, short enough for a message. */
function quote(name: string): string {
  return printable(JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name))
}

/** llama.cpp asks that tensors follow each other without gaps other than the padding; so none overlap. */
function checkLayout(tensors: readonly GgufTensorInfo[], alignment: number): void {
  let expected = 0
  for (const { name, offset, byteLength } of tensors) {
    if (offset !== expected) {
      const how = offset < expected ? 'it overlaps the one before' : 'there is a gap before it'
      throw invalidGguf(`tensor ${quote(name)} has offset ${offset}, expected ${expected}: ${how}`)
    }
    expected = align(offset + byteLength, alignment)
  }
}
