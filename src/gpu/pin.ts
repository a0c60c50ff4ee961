import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PackagePin } from '../builder/fetch.js'
import { packageRoot } from '../package-root.js'

/** The pinned engine: `native/llama.cpp.json`. */
export interface EnginePin extends PackagePin {
  bundle: string
  tag: string
  commit: string
  /** Packages of the same version that hold GPU backends of the same engine, by platform (`linux-x64`). */
  plugins: Record<string, PluginPin[]>
}

export interface PluginPin {
  /** What `phi2 gpu add` calls it. */
  name: string
  backend: PluginBackend
  package: string
  integrity: string
  /** Of the tarball. */
  bytes: number
  /** Of the library. */
  libraryBytes: number
  /** Folder of the library and of the build's metadata in the tarball. */
  folder: string
}

export type PluginBackend = 'cuda' | 'vulkan'

export function enginePin(): EnginePin {
  return JSON.parse(readFileSync(join(packageRoot(), 'native', 'llama.cpp.json'), 'utf8')) as EnginePin
}

export function pluginsFor(pin: EnginePin, platform = `${process.platform}-${process.arch}`): readonly PluginPin[] {
  return pin.plugins[platform] ?? []
}
