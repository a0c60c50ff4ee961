import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildError } from '../src/builder/run.js'
import { packageRoot } from '../src/package-root.js'

/** A platform that has a package of prebuilt libraries. What npm must know of it stands in `npm/NAME/package.json`. */
export interface Target {
  /** `process.platform` and `process.arch` there. */
  readonly name: string
  /** For another platform than the one that builds: CMake's description of its compilers. */
  readonly toolchainFile?: string
  /** Its C compiler and its `strip`, where they are not those of this machine. */
  readonly prefix?: string
  /** Ends the names of the shared libraries. */
  readonly extension: '.so' | '.dylib' | '.dll'
  /** Newest versions of symbols that its libraries may ask the system for, by the name before the version. */
  readonly baseline?: Readonly<Record<string, string>>
}

// Node's own builds for Linux ask for glibc 2.28 and the libgcc of GCC 8, since version 18.
const linux = { extension: '.so', baseline: { GLIBC: '2.28', GCC: '8' } } as const

export const targets: readonly Target[] = [{ name: 'linux-x64', ...linux }]

/** Of the machine that builds. */
export const HOST = `${process.platform}-${process.arch}`

export function findTarget(name: string): Target {
  const target = targets.find((candidate) => candidate.name === name)
  if (target) return target
  throw buildError(`Expected one of ${targets.map((known) => known.name).join(', ')} but received ${name}.`)
}

/** The tracked folder that the libraries are put into. */
export function packageFolder({ name }: Target): string {
  return join(packageRoot(), 'npm', name)
}

export interface PlatformManifest {
  name: string
  version: string
  os: string[]
  cpu: string[]
  libc?: string[]
}

export function platformManifest(target: Target): PlatformManifest {
  return JSON.parse(readFileSync(join(packageFolder(target), 'package.json'), 'utf8')) as PlatformManifest
}
