import { basename } from 'node:path'
import { type ElfLibrary, readElf } from './elf.js'

/** Whether one version of digits and dots is above another. */
export function isNewer(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split('.').map(Number)) as [number[], number[]]
  for (let i = 0; i < Math.max(a.length, b.length); ++i) {
    if ((a[i] ?? 0) !== (b[i] ?? 0)) return (a[i] ?? 0) > (b[i] ?? 0)
  }
  return false
}

export interface SymbolReport {
  /** Newest version that is asked for, by the name before the version: `{ GLIBC: '2.27' }`. */
  newest: Record<string, string>
  /** Libraries of the system. */
  needed: string[]
  /** What keeps the libraries from running on the baseline, in words. */
  problems: string[]
}

/** Libraries that every glibc system has; the C++ library is not among them, whose versions differ too much. */
const SYSTEM = /^(libc\.so\.6|libm\.so\.6|libpthread\.so\.0|libdl\.so\.2|librt\.so\.1|libgcc_s\.so\.1|ld-linux-.*)$/

/** Compares what the libraries of one folder ask the system for with the versions that the oldest such system has. */
export function checkSymbols(paths: readonly string[], baseline: Readonly<Record<string, string>>): SymbolReport {
  const libraries = new Map(paths.map((path) => [basename(path), readElf(path)]))
  return judgeSymbols(libraries, baseline)
}

export function judgeSymbols(
  libraries: ReadonlyMap<string, ElfLibrary>,
  baseline: Readonly<Record<string, string>>,
): SymbolReport {
  const own = new Set([...libraries.values()].flatMap((library) => library.exports.map(({ name }) => name)))
  const newest: Record<string, string> = {}
  const problems: string[] = []
  const needed = new Set<string>()
  for (const [file, library] of libraries) {
    for (const name of library.needed) {
      if (libraries.has(name)) continue
      needed.add(name)
      if (!SYSTEM.test(name)) problems.push(`${file} needs ${name}, which not every system has`)
    }
    for (const { name, version, weak } of library.imports) {
      const parts = version?.match(/^(.+)_([\d.]+)$/)
      if (parts) {
        const [, prefix, number] = parts as unknown as [string, string, string]
        if (newest[prefix] === undefined || isNewer(number, newest[prefix])) newest[prefix] = number
        const limit = baseline[prefix]
        if (limit === undefined || isNewer(number, limit)) {
          problems.push(`${file} needs ${name} of ${version}, allowed is ${limit ? `${prefix}_${limit}` : 'none'}`)
        }
      } else if (!weak && !own.has(name) && !/^(napi|node_api)_/.test(name)) {
        problems.push(`${file} needs ${name}, which no library here or in the baseline has`)
      }
    }
  }
  return { newest, needed: [...needed].sort(), problems }
}
