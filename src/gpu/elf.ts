import { closeSync, openSync, readSync } from 'node:fs'

const PT_LOAD = 1
const PT_DYNAMIC = 2
const DT_NULL = 0
const DT_NEEDED = 1
const DT_STRTAB = 5
const DT_STRSZ = 10
const DT_SONAME = 14
const HEADER_BYTES = 64
const SEGMENT_BYTES = 56
const ENTRY_BYTES = 16
/** More than any real table: what claims to be larger is damaged. */
const MAX_TABLE_BYTES = 1 << 24

/** By what names the dynamic linker knows a shared library and finds what it needs. */
export interface ElfNames {
  soname?: string
  /** The libraries that it asks for (`DT_NEEDED`), in its order. */
  needed: string[]
}

/**
 * Reads them here, because the dynamic linker names only the first library that it does not find. Of a 64-bit
 * little-endian ELF file a few kilobytes are read.
 * @throws Error for a file that is none, or damaged.
 */
export function readNames(path: string): ElfNames {
  const file = openSync(path, 'r')
  try {
    const read = (offset: number, bytes: number): Buffer => readExactly(file, offset, bytes, path)
    const header = read(0, HEADER_BYTES)
    if (header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1) {
      throw new Error(`${path} is no 64-bit shared library`)
    }
    const segments = readSegments(read(number(header, 32), header.readUInt16LE(56) * SEGMENT_BYTES))
    const dynamic = segments.find(({ type }) => type === PT_DYNAMIC)
    if (!dynamic) return { needed: [] }

    const entries = readEntries(read(dynamic.offset, dynamic.bytes))
    const address = entries.find(([tag]) => tag === DT_STRTAB)?.[1]
    const size = entries.find(([tag]) => tag === DT_STRSZ)?.[1]
    const holder = segments.find(
      ({ type, address: start, bytes }) =>
        type === PT_LOAD && address !== undefined && address >= start && address < start + bytes,
    )
    if (address === undefined || size === undefined || !holder) throw new Error(`${path} is damaged: no string table`)
    const strings = read(holder.offset + address - holder.address, size)
    const named = (wanted: number) => entries.filter(([tag]) => tag === wanted).map(([, at]) => textAt(strings, at))
    const [soname] = named(DT_SONAME)
    return { ...(soname === undefined ? {} : { soname }), needed: named(DT_NEEDED) }
  } finally {
    closeSync(file)
  }
}

interface Segment {
  type: number
  offset: number
  address: number
  /** in the file */
  bytes: number
}

function readSegments(table: Buffer): Segment[] {
  return Array.from({ length: table.length / SEGMENT_BYTES }, (_, i) => {
    const entry = table.subarray(i * SEGMENT_BYTES)
    return {
      type: entry.readUInt32LE(0),
      offset: number(entry, 8),
      address: number(entry, 16),
      bytes: number(entry, 32),
    }
  })
}

function readEntries(table: Buffer): [tag: number, value: number][] {
  const entries: [number, number][] = []
  for (let at = 0; at + ENTRY_BYTES <= table.length; at += ENTRY_BYTES) {
    const tag = number(table, at)
    if (tag === DT_NULL) break
    entries.push([tag, number(table, at + 8)])
  }
  return entries
}

function textAt(strings: Buffer, at: number): string {
  return strings.toString('utf8', at, strings.indexOf(0, at))
}

/** Offsets and sizes of files are exact as a number; tags are small. */
function number(buffer: Buffer, at: number): number {
  return Number(buffer.readBigUInt64LE(at))
}

function readExactly(file: number, offset: number, bytes: number, path: string): Buffer {
  const damaged = () => new Error(`${path} is damaged: it ends too early`)
  if (bytes > MAX_TABLE_BYTES || !Number.isSafeInteger(offset + bytes)) throw damaged()
  const buffer = Buffer.alloc(bytes)
  if (readSync(file, buffer, 0, bytes, offset) !== bytes) throw damaged()
  return buffer
}
