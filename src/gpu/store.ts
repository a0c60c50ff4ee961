import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder } from '../models/cache.js'
import type { EnginePin, PluginBackend, PluginPin } from './pin.js'

/** Folder in the cache: `gpu/linux-x64-cuda@3.22.1/libggml-cuda.so`, with `plugin.json` beside it. */
export const PLUGINS = 'gpu'
export const RECORD = 'plugin.json'
/** What the package says of its build. */
export const BUILD_METADATA = '_nlcBuildMetadata.json'

/** A GPU backend that `phi2 gpu add` installed. */
export interface InstalledPlugin {
  /** What `phi2 gpu` calls it: `cuda`, `vulkan`. */
  name: string
  backend: PluginBackend
  /** The package that it came in, and its version. */
  package: string
  version: string
  /** llama.cpp's release that it was built from: `v0.5.0`. */
  tag: string
  /** Folder of the library. */
  path: string
  /** File name of the library. */
  library: string
  bytes: number
  /** ISO 8601. */
  date: string
}

export function pluginsFolder(cache: string = cacheFolder()): string {
  return join(cache, PLUGINS)
}

export function pluginFolder(plugin: PluginPin, pin: EnginePin, cache?: string): string {
  return join(pluginsFolder(cache), `${plugin.package.split('/').pop()}@${pin.version}`)
}

/** What is installed, whatever phi2 it was installed for, sorted by name. Folders without a record are not listed. */
export function listPlugins(cache?: string): InstalledPlugin[] {
  const root = pluginsFolder(cache)
  if (!existsSync(root)) return []
  const found = readdirSync(root).flatMap((name) => readPlugin(join(root, name)) ?? [])
  return found.sort((a, b) => (a.name === b.name ? (a.version < b.version ? -1 : 1) : a.name < b.name ? -1 : 1))
}

export function readPlugin(path: string): InstalledPlugin | undefined {
  try {
    const record = JSON.parse(readFileSync(join(path, RECORD), 'utf8')) as InstalledPlugin
    return typeof record.library === 'string' && typeof record.backend === 'string' ? { ...record, path } : undefined
  } catch {
    return undefined
  }
}

/**
 * llama.cpp's release and the kind of GPU that a package of node-llama-cpp was built for. Undefined where it does not say:
 * an extension of another package does not.
 */
export function readBuildMetadata(folder: string): { tag: string | undefined; gpu: unknown } | undefined {
  try {
    const { buildOptions } = JSON.parse(readFileSync(join(folder, BUILD_METADATA), 'utf8'))
    return { tag: buildOptions?.llamaCpp?.release, gpu: buildOptions?.gpu }
  } catch {
    return undefined
  }
}

/**
 * Why an installed plug-in must not be loaded into this engine: it is of another release, or not what was installed.
 * @param engine llama.cpp's release of the addon, such as `v0.5.0`
 */
export function whyUnfit(plugin: InstalledPlugin, engine: string): string | undefined {
  const tag = readBuildMetadata(plugin.path)?.tag ?? plugin.tag
  if (tag !== engine) {
    return (
      `it was built from llama.cpp ${tag}, and this engine is ${engine}; ` +
      `\`phi2 gpu add ${plugin.name}\` fetches the matching one`
    )
  }
  const file = statSync(join(plugin.path, plugin.library), { throwIfNoEntry: false })
  if (file?.size === plugin.bytes) return undefined
  const found = file === undefined ? 'is missing' : `has ${file.size} bytes instead of ${plugin.bytes}`
  return `${plugin.library} ${found}; \`phi2 gpu add ${plugin.name} --force\` installs it again`
}
