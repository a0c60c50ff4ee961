import { existsSync } from 'node:fs'
import { cpus } from 'node:os'
import { dirname, join } from 'node:path'
import { loadAddon } from './native.js'
import { packageVersion } from './package-root.js'
import type { DeviceInfo } from './types.js'

/** Versions, processor and devices: what `phi2 doctor` prints. */
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
  /** GPU backends that serve no device here, and why. */
  notTaken: { backend: string; reason: string }[]
}

const gpuBackends = [
  { name: 'cuda', registry: 'CUDA', platforms: ['linux', 'win32'], build: '`npm run build -- --cuda`' },
  { name: 'vulkan', registry: 'Vulkan', platforms: ['linux', 'win32'], build: '`npm run build -- -DGGML_VULKAN=ON`' },
  { name: 'metal', registry: 'MTL', platforms: ['darwin'], build: '`npm run build -- -DGGML_METAL=ON`' },
]

/** @throws {Phi2Error} `PHI2_BINDING_NOT_FOUND` */
export function systemReport(): SystemReport {
  const addon = loadAddon()
  const { devices, backends, cpuBackendPath } = addon.backendInfo()
  const features = Object.entries(backends.find(({ name }) => name === 'CPU')?.features ?? {})
  return {
    phi2: packageVersion(),
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    llama: addon.versions.llama,
    ggml: addon.versions.ggml,
    cpu: {
      model: cpus()[0]?.model.trim() || 'unknown',
      backend: cpuBackendPath,
      features: features
        .filter(([, value]) => value !== '0')
        .map(([name, value]) => (value === '1' ? name : `${name}=${value}`)),
    },
    devices,
    notTaken: backendsNotTaken(),
  }
}

/** GPU backends that serve no device here, and why. */
export function backendsNotTaken(): SystemReport['notTaken'] {
  const { devices, backends, cpuBackendPath } = loadAddon().backendInfo(false)
  return notTaken(
    dirname(cpuBackendPath),
    devices,
    backends.map(({ name }) => name),
  )
}

function notTaken(folder: string, devices: readonly DeviceInfo[], loaded: readonly string[]): SystemReport['notTaken'] {
  const [prefix, suffix] = process.platform === 'win32' ? ['', '.dll'] : ['lib', '.so']
  const reasons: SystemReport['notTaken'] = []
  for (const { name, registry, platforms, build } of gpuBackends) {
    if (!platforms.includes(process.platform) || devices.some(({ backend }) => backend === registry)) continue
    const library = `${prefix}ggml-${name}${suffix}`
    if (loaded.includes(registry)) {
      reasons.push({ backend: name, reason: 'it was loaded but found no device (is the driver installed?)' })
    } else if (existsSync(join(folder, library))) {
      reasons.push({
        backend: name,
        reason: `${library} is there but could not be loaded: a library that it needs is missing (try \`ldd ${library}\`)`,
      })
    } else {
      reasons.push({ backend: name, reason: `${library} is not built; ${build} builds it` })
    }
  }
  return reasons
}
