import { readFileSync } from 'node:fs'
import { type ElfNames, readNames } from '../src/gpu/elf.js'

/** A symbol that a library takes from others. */
export interface ElfImport {
  name: string
  /** Such as `GLIBC_2.17`; absent if any version will do. */
  version?: string
  /** It may be missing. */
  weak: boolean
}

/** A symbol that a library offers. */
export interface ElfExport {
  name: string
  version?: string
  /** What a program gets that names no version. */
  isDefault: boolean
  type: 'function' | 'object' | 'thread-local'
  size: number
}

export interface ElfLibrary extends ElfNames {
  imports: ElfImport[]
  exports: ElfExport[]
}

interface Section {
  type: number
  offset: number
  size: number
  /** Index of the section that belongs to it: of symbols, their names. */
  link: number
}

const SHT_DYNSYM = 11
const SHT_GNU_VERDEF = 0x6ffffffd
const SHT_GNU_VERNEED = 0x6ffffffe
const SHT_GNU_VERSYM = 0x6fffffff
const SYMBOL_BYTES = 24
const STB_WEAK = 2
const STB_GNU_UNIQUE = 10
/** By `ELF64_ST_TYPE`; the last is an indirect function. */
const TYPES: Readonly<Record<number, ElfExport['type']>> = {
  1: 'object',
  2: 'function',
  6: 'thread-local',
  10: 'function',
}

/** What the dynamic linker reads of a 64-bit little-endian shared library: names, versions, other libraries. */
export function readElf(path: string): ElfLibrary {
  const file = readFileSync(path)
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1) {
    throw new Error(`Expected a 64-bit little-endian ELF file but found something else in ${path}.`)
  }
  const sections = readSections(file)
  const find = (type: number) => sections.find((section) => section.type === type)
  const library: ElfLibrary = { ...readNames(path), imports: [], exports: [] }

  const symbols = find(SHT_DYNSYM)
  if (!symbols) return library
  const versions = readVersionNames(file, sections)
  const versym = find(SHT_GNU_VERSYM)
  // The first symbol is none.
  for (let i = 1; i < symbols.size / SYMBOL_BYTES; ++i) {
    const at = symbols.offset + i * SYMBOL_BYTES
    const name = stringAt(file, sections[symbols.link]!, file.readUInt32LE(at))
    const info = file[at + 4]!
    const binding = info >> 4
    const type = TYPES[info & 15]
    const defined = file.readUInt16LE(at + 6) !== 0
    const index = versym ? file.readUInt16LE(versym.offset + 2 * i) : 0
    const version = versions.get(index & 0x7fff)
    const named = version === undefined ? { name } : { name, version }
    if (!defined) library.imports.push({ ...named, weak: binding === STB_WEAK })
    else if (type && (binding === 1 || binding === STB_WEAK || binding === STB_GNU_UNIQUE)) {
      library.exports.push({ ...named, isDefault: (index & 0x8000) === 0, type, size: readSize(file, at + 16) })
    }
  }
  return library
}

function readSections(file: Buffer): Section[] {
  const table = readSize(file, 40)
  const bytes = file.readUInt16LE(58)
  return Array.from({ length: file.readUInt16LE(60) }, (_, i) => {
    const at = table + i * bytes
    return {
      type: file.readUInt32LE(at + 4),
      offset: readSize(file, at + 24),
      size: readSize(file, at + 32),
      link: file.readUInt32LE(at + 40),
    }
  })
}

/** By their index in the table of symbol versions; those of other libraries and of this one. */
function readVersionNames(file: Buffer, sections: readonly Section[]): Map<number, string> {
  const names = new Map<number, string>()
  for (const section of sections) {
    const name = (at: number) => stringAt(file, sections[section.link]!, file.readUInt32LE(at))
    if (section.type === SHT_GNU_VERNEED) {
      for (const need of chain(file, section.offset, 12)) {
        for (const version of chain(file, need + file.readUInt32LE(need + 8), 12)) {
          names.set(file.readUInt16LE(version + 6), name(version + 8))
        }
      }
    }
    if (section.type === SHT_GNU_VERDEF) {
      for (const definition of chain(file, section.offset, 16)) {
        const isTheLibraryItself = (file.readUInt16LE(definition + 2) & 1) === 1
        const first = definition + file.readUInt32LE(definition + 12)
        if (!isTheLibraryItself) names.set(file.readUInt16LE(definition + 4), name(first))
      }
    }
  }
  return names
}

/** Records that each tell how far the next one is. */
function* chain(file: Buffer, first: number, offsetOfNext: number): Generator<number> {
  for (let at = first; ; ) {
    yield at
    const next = file.readUInt32LE(at + offsetOfNext)
    if (next === 0) return
    at += next
  }
}

function stringAt(file: Buffer, names: Section, offset: number): string {
  const start = names.offset + offset
  return file.toString('latin1', start, file.indexOf(0, start))
}

function readSize(file: Buffer, at: number): number {
  return Number(file.readBigUInt64LE(at))
}
