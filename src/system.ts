import { cpus } from 'node:os'
import { backendsHere, type GpuBackend, libraryName } from './gpu/backends.js'
import type { MissingLibrary } from './gpu/libraries.js'
import type { BackendAttempt } from './gpu/load.js'
import { enginePin, pluginsFor } from './gpu/pin.js'
import { backendAttempts } from './load-addon.js'
import { loadAddon, type NativeBackendInfo } from './native.js'
import { packageVersion } from './package-root.js'
import type { DeviceInfo } from './types.js'

/** Versions, processor, backends and devices: what `phi2 doctor` prints. */
export interface SystemReport {
  phi2: string
  node: string
  platform: string
  llama: string
  ggml: string
  cpu: {
    model: string
    /** The shared library that serves as the CPU backend. */
    backend: string
    /** Instruction sets that it was built with and uses here. */
    features: string[]
  }
  devices: DeviceInfo[]
  /** The CPU, and each kind of GPU that the engine can use on this platform. */
  backends: BackendReport[]
  /** GPU backends that serve no device here, and why. */
  notTaken: { backend: string; reason: string }[]
}

export interface BackendReport {
  name: 'cpu' | GpuBackend['name']
  /**
   * `ready`: it serves devices · `no-device`: it was loaded and found none · `failed`: it is there and could not be loaded ·
   * `absent`: it is not there.
   */
  state: 'ready' | 'no-device' | 'failed' | 'absent'
  /** Its shared library. */
  path?: string
  /** Beside the addon, or installed by `phi2 gpu add`. */
  source?: 'built' | 'plug-in'
  /** llama.cpp's release that it was built from. */
  version?: string
  devices: DeviceInfo[]
  /** Why it serves no device, or what it warned of. */
  reason?: string
  /** Libraries that it needs and that were not found. */
  missing: MissingLibrary[]
  /** How it was built, in its own words, such as the architectures of CUDA. */
  features: Record<string, string>
}

/** @throws {Phi2Error} `PHI2_BINDING_NOT_FOUND` */
export function systemReport(): SystemReport {
  const addon = loadAddon()
  const { devices, cpuBackendPath } = addon.backendInfo()
  const backends = backendReports()
  const { features } = backends[0]!
  return {
    phi2: packageVersion(),
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    llama: addon.versions.llama,
    ggml: addon.versions.ggml,
    cpu: {
      model: cpus()[0]?.model.trim() || 'unknown',
      backend: cpuBackendPath,
      features: Object.entries(features)
        .filter(([, value]) => value !== '0')
        .map(([name, value]) => (value === '1' ? name : `${name}=${value}`)),
    },
    devices,
    backends,
    notTaken: notTaken(backends),
  }
}

/** GPU backends that serve no device here, and why. */
export function backendsNotTaken(): SystemReport['notTaken'] {
  return notTaken(backendReports(false))
}

function notTaken(backends: readonly BackendReport[]): SystemReport['notTaken'] {
  return backends
    .filter(({ state }) => state !== 'ready')
    .map(({ name, reason }) => ({ backend: name, reason: reason ?? 'no reason is known' }))
}

/** @param memory whether the devices are asked for theirs */
function backendReports(memory = true): BackendReport[] {
  const addon = loadAddon()
  return reportBackends(addon.backendInfo(memory), backendAttempts(), `v${addon.versions.llama}`)
}

/** What became of each backend: from what the engine has, and from what was tried. The CPU comes first. */
export function reportBackends(
  { backends, cpuBackendPath, devices }: NativeBackendInfo,
  attempts: readonly BackendAttempt[],
  engine: string,
): BackendReport[] {
  const cpu = backends.find(({ name }) => name === 'CPU')
  return [
    {
      name: 'cpu',
      state: 'ready',
      path: cpuBackendPath,
      source: 'built',
      version: engine,
      devices: devices.filter(({ backend }) => backend === 'CPU'),
      missing: [],
      features: cpu?.features ?? {},
    },
    ...backendsHere().map((backend) => {
      const tried = attempts.filter(({ backend: name }) => name === backend.name)
      const attempt = tried.find(({ devices: found }) => found > 0) ?? tried.find(({ loaded }) => loaded) ?? tried[0]
      const loaded = backends.find(({ name }) => name === backend.registry)
      const own = devices.filter(({ backend: registry }) => registry === backend.registry)
      return { name: backend.name, devices: own, ...judge(backend, attempt, loaded, own.length, engine) }
    }),
  ]
}

function judge(
  backend: GpuBackend,
  attempt: BackendAttempt | undefined,
  loaded: NativeBackendInfo['backends'][number] | undefined,
  devices: number,
  engine: string,
): Omit<BackendReport, 'name' | 'devices'> {
  const missing = attempt?.missing ?? []
  const known = attempt && { path: attempt.path, source: attempt.source, version: attempt.version }
  const reason = attempt?.reason === '' ? undefined : attempt?.reason
  if (loaded) {
    // Without an attempt the engine itself has loaded it, from beside the addon.
    const found = known ?? { path: loaded.path, source: 'built' as const, version: engine }
    const said = devices > 0 ? reason : withRemedy(reason ?? NO_DEVICE[backend.name])
    const state = devices > 0 ? ('ready' as const) : ('no-device' as const)
    return { state, ...found, ...(said === undefined ? {} : { reason: said }), missing, features: loaded.features }
  }
  if (known) return { state: 'failed', ...known, reason: reason ?? 'no reason is known', missing, features: {} }
  return {
    state: 'absent',
    reason: `${libraryName(backend.name)} is not there; ${howToGet(backend)}`,
    missing,
    features: {},
  }
}

const NO_DEVICE: Record<GpuBackend['name'], string> = {
  cuda: 'it found no device: is there an NVIDIA GPU, and its driver?',
  vulkan:
    'it found no device: is there a GPU with a Vulkan driver (on Debian and Ubuntu `mesa-vulkan-drivers` or NVIDIA’s)? ' +
    'Software devices are used only if GGML_VK_VISIBLE_DEVICES names them',
  metal: 'it found no device',
}

/** What CUDA's own words ask for. */
function withRemedy(reason: string): string {
  if (!/driver version is insufficient/.test(reason)) return reason
  return `${reason}. CUDA 13 needs NVIDIA’s driver 580 or later; \`phi2 gpu add cuda12\` is for drivers from 525 on`
}

function howToGet({ build, name }: GpuBackend): string {
  const plugin = pluginsFor(enginePin()).find(({ backend }) => backend === name)
  return plugin ? `\`phi2 gpu add ${plugin.name}\` fetches it, ${build} builds it` : `${build} builds it`
}
