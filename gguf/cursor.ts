import { ELEMENT_BYTES, type GgufElementType, invalidGguf } from './format.js'

/** Nothing larger is taken for a header: with the next limit, this bounds the memory that a hostile file can ask for. */
export const MAX_HEADER = 64 * 1024 * 1024
/**
 * Of all arrays together. A value in JavaScript takes up to 40 bytes, many times what it takes in the file; the largest
 * vocabularies come to 1.5 million.
 */
const MAX_ELEMENTS = 4_000_000

/** The bytes that are there end before the header does; `needed` of them, or more, would be. */
export class EndOfBytes extends Error {
  constructor(readonly needed: number) {
    super('The header goes on')
  }
}

/** Reads little-endian values one after the other. Every length is checked before anything is allocated for it. */
export class Cursor {
  position = 0
  private readonly view: DataView
  // A byte order mark at the beginning of a token is part of it.
  private readonly text = new TextDecoder('utf-8', { ignoreBOM: true })
  private elements = 0

  /** `fileSize` is infinite where it is not known. */
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
    if (count * bytesEach > left) {
      throw invalidGguf(
        `it claims ${count} ${what} but only ${left} bytes follow; it is damaged or was not downloaded completely`,
      )
    }
    if (count * bytesEach > MAX_HEADER) throw invalidGguf(`it claims ${count} ${what}, more than a header can hold`)
    return count
  }

  /** The count of an array. */
  elementCount(what: string, type: GgufElementType): number {
    const count = this.count(what, ELEMENT_BYTES[type])
    this.elements += count
    if (this.elements > MAX_ELEMENTS) {
      throw invalidGguf(`its arrays hold more than ${MAX_ELEMENTS} elements, more than any vocabulary needs`)
    }
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
    if (at + length > this.bytes.length) throw new EndOfBytes(at + length)
    this.position = at + length
    return at
  }
}
