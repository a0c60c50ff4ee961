import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
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
  /** End the names of the shared libraries. */
  readonly extensions: readonly string[]
  /** Libraries of the cross compiler that go along. */
  readonly runtime?: readonly string[]
  /** Newest versions of symbols that its libraries may ask the system for, by the name before the version. */
  readonly baseline?: Readonly<Record<string, string>>
}

// Node's own builds for Linux ask for glibc 2.28 and the libgcc of GCC 8, since version 18.
const linux = { extensions: ['.so'], baseline: { GLIBC: '2.28', GCC: '8' } } as const

export const targets: readonly Target[] = [
  { name: 'linux-x64', ...linux },
  { name: 'linux-arm64', ...linux, toolchainFile: 'cmake/linux-arm64.cmake', prefix: 'aarch64-linux-gnu-' },
  // Plug-ins are called .so there, too.
  { name: 'darwin-arm64', extensions: ['.dylib', '.so'] },
  {
    name: 'win32-x64',
    extensions: ['.dll'],
    toolchainFile: 'cmake/win32-x64.cmake',
    prefix: 'x86_64-w64-mingw32-',
    runtime: ['libstdc++-6.dll', 'libgcc_s_seh-1.dll', 'libwinpthread-1.dll'],
  },
]

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

/** The paths of the addon and the libraries that go with it. */
export function librariesIn({ extensions }: Target, folder: string): string[] {
  const isLibrary = (file: string) => ['.node', ...extensions].some((extension) => file.endsWith(extension))
  return readdirSync(folder)
    .filter(isLibrary)
    .map((file) => join(folder, file))
}

/** The paths of the cross compiler's libraries that go along. */
export function runtimeLibraries({ prefix = '', runtime = [] }: Target): string[] {
  const compiler = `${prefix}g++-posix`
  return runtime.map((file) => {
    const { stdout } = spawnSync(compiler, [`-print-file-name=${file}`], { encoding: 'utf8' })
    const path = (stdout ?? '').trim()
    if (!isAbsolute(path)) throw buildError(`${compiler} does not find ${file}.`)
    return path
  })
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
