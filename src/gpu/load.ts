import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { backendsHere, type GpuBackend, libraryName } from './backends.js'
import { type LibraryOpener, type MissingLibrary, openNeeded } from './libraries.js'
import { listPlugins, whyUnfit } from './store.js'

/** A try to load a GPU backend, and what became of it. */
export interface BackendAttempt {
  backend: GpuBackend['name']
  /** Built beside the addon, or installed by `phi2 gpu add`. */
  source: 'built' | 'plug-in'
  /** What `phi2 gpu` calls the plug-in. */
  plugin?: string
  path: string
  /** llama.cpp's release that it was built from. */
  version: string
  loaded: boolean
  /** How many it found. */
  devices: number
  /** Why it was not loaded, or what it warned of; empty if there was nothing. */
  reason: string
  missing: MissingLibrary[]
}

export interface LoadedBackend {
  /** What the engine's registry calls it; empty if it was not loaded. */
  name: string
  devices: number
  /** Why it was not loaded, or what it warned of. */
  reason: string
}

/** What is needed of the addon. */
export interface BackendLoader extends LibraryOpener {
  readonly versions: { readonly llama: string }
  loadBackend(path: string): LoadedBackend
}

type Candidate = Pick<BackendAttempt, 'backend' | 'source' | 'plugin' | 'path' | 'version'> & {
  unfit?: string | undefined
}

/**
 * Loads the GPU backends that are here, those beside the addon first, then the plug-ins of `phi2 gpu add`; of each kind
 * the first that finds a device. One that cannot never ends the process: its attempt says why. PHI2_PLUGINS=off leaves plug-ins out.
 */
export function loadGpuBackends(
  addon: BackendLoader,
  folder: string,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): BackendAttempt[] {
  const engine = `v${addon.versions.llama}`
  const plugins = environment.PHI2_PLUGINS === 'off' ? [] : installed(engine)
  return backendsHere().flatMap(({ name }) => {
    const built = join(folder, libraryName(name))
    const candidates: Candidate[] = [
      ...(existsSync(built) ? [{ backend: name, source: 'built', path: built, version: engine } as const] : []),
      ...plugins.filter(({ backend }) => backend === name),
    ]
    const attempts: BackendAttempt[] = []
    for (const candidate of candidates) {
      const attempt = tryBackend(addon, candidate)
      attempts.push(attempt)
      if (attempt.devices > 0) break
    }
    return attempts
  })
}

/** The plug-ins that were tried and serve no device. */
export function idlePlugins(attempts: readonly BackendAttempt[]): readonly BackendAttempt[] {
  return attempts.filter(({ devices, source }) => source === 'plug-in' && devices === 0)
}

/** Of several for one backend the fitting ones, unless none is. */
function installed(engine: string): Candidate[] {
  const all = listPlugins().map((plugin) => ({
    backend: plugin.backend,
    source: 'plug-in' as const,
    plugin: plugin.name,
    path: join(plugin.path, plugin.library),
    version: plugin.tag,
    unfit: whyUnfit(plugin, engine),
  }))
  return all.filter(
    ({ backend, unfit }) =>
      unfit === undefined || !all.some((other) => other.backend === backend && other.unfit === undefined),
  )
}

function tryBackend(addon: BackendLoader, { unfit, ...candidate }: Candidate): BackendAttempt {
  const refused = (reason: string, missing: MissingLibrary[] = []): BackendAttempt => ({
    ...candidate,
    loaded: false,
    devices: 0,
    reason,
    missing,
  })
  if (unfit !== undefined) return refused(unfit)
  try {
    const missing = process.platform === 'linux' ? openNeeded(addon, candidate.path) : []
    if (missing.length > 0) return refused(describeMissing(missing), missing)
    const { devices, name, reason } = addon.loadBackend(candidate.path)
    return { ...candidate, loaded: name !== '', devices, reason: tidy(reason), missing: [] }
  } catch (error) {
    return refused(error instanceof Error ? error.message : String(error))
  }
}

function describeMissing(missing: readonly MissingLibrary[]): string {
  const parts = missing.map(({ library, reason }) => (reason === undefined ? library : `${library} (${reason})`))
  const broken = missing.every(({ reason }) => reason !== undefined)
  return `it needs ${parts.join(', ')}, ${broken ? 'which cannot be opened' : 'not found here'}`
}

/** The engine's log begins with the function that speaks. */
function tidy(reason: string): string {
  return reason.replace(/^\w+: /, '')
}
