import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { Phi2Error } from './errors.js'

const NAME = 'phi2'

/** What package.json says that is used here. */
interface Manifest {
  name: string
  version: string
  /** The packages of the platforms; a checkout has none. */
  optionalDependencies?: Record<string, string>
}

let root: string | undefined
let manifest: Manifest | undefined

/** The address of this code. A bundler that makes CommonJS leaves `import.meta` empty. */
export function moduleUrl(): string {
  return import.meta.url ?? pathToFileURL(__filename).href
}

/**
 * The folder of this package's package.json: the same from `src/` (through tsx), from `dist/`, and from an app's bundle
 * with this code in it, if the package is installed beside it.
 */
export function packageRoot(): string {
  root ??= ownFolder(fileURLToPath(moduleUrl())) ?? installedFolder()
  return root
}

function ownFolder(file: string): string | undefined {
  for (let folder = dirname(file); ; ) {
    const path = join(folder, 'package.json')
    if (existsSync(path)) return readManifest(path).name === NAME ? folder : undefined
    const parent = dirname(folder)
    if (parent === folder) return undefined
    folder = parent
  }
}

function installedFolder(): string {
  try {
    return dirname(createRequire(moduleUrl()).resolve(`${NAME}/package.json`))
  } catch (cause) {
    throw new Phi2Error(
      'PHI2_BINDING_NOT_FOUND',
      `Expected the folder of the package ${NAME} in node_modules, found none from ${moduleUrl()}. An app that bundles ` +
        `${NAME} keeps the package itself beside the bundle: the addon and the embedded model are read from it.`,
      { cause },
    )
  }
}

/**
 * The path as native code can open it: in a packed Electron app the file of an `app.asar` lies in `app.asar.unpacked`,
 * if the app's packer was told to leave it outside.
 */
export function realPath(path: string): string {
  return path.replace(/\.asar(?=[\\/])/, '.asar.unpacked')
}

/** The version in package.json. */
export function packageVersion(): string {
  return ownManifest().version
}

/** Names of the packages with prebuilt addons that belong to this one; empty in a checkout. */
export function platformPackages(): string[] {
  return Object.keys(ownManifest().optionalDependencies ?? {})
}

function ownManifest(): Manifest {
  manifest ??= readManifest(join(packageRoot(), 'package.json'))
  return manifest
}

function readManifest(path: string): Manifest {
  return JSON.parse(readFileSync(path, 'utf8')) as Manifest
}
