import { Phi2Error } from '../errors.js'
import type { DeviceInfo, NotTaken } from '../types.js'
import { modes } from './modes.js'
import type { PlacementWish } from './wish.js'

/** Which devices are to hold the layers, before it is known how many fit. */
export interface DeviceChoice {
  /** In the order in which they get layers. None: the CPU holds all. */
  gpus: readonly DeviceInfo[]
  /** Any one of them will do, if it can hold everything: to share costs time. */
  oneWillDo: boolean
  /** Devices left aside, and why. */
  notTaken: NotTaken[]
}

/** Registries by how fast their devices are where one card is a device of several. */
const BACKENDS = ['CUDA', 'ROCm', 'MTL', 'SYCL', 'Vulkan', 'OpenCL']

/** Other words for registries. */
const WORDS: Readonly<Record<string, string>> = { metal: 'mtl', hip: 'rocm' }

/**
 * Chooses among the devices that there are. Pure: what is present is given.
 * @throws {Phi2Error} `PHI2_MODE_UNAVAILABLE` naming what was wanted and what is there
 */
export function chooseDevices(wish: PlacementWish, devices: readonly DeviceInfo[]): DeviceChoice {
  const gpus = devices.filter(isGpu)
  const onCpu = whyOnCpu(wish)
  if (onCpu !== undefined) return { gpus: [], oneWillDo: false, notTaken: gpus.map(leave(onCpu)) }

  const pool = wish.device === undefined || wish.device[0] === 'gpu' ? best(wish, gpus) : named(wish.device, devices)
  const needed = wish.mode === 'auto' ? undefined : modes[wish.mode].backend
  const wrong = needed && pool.gpus.find(({ backend }) => backend !== needed)
  if (wrong) throw unavailable(`Mode ${wish.mode} needs a CUDA device, and ${wrong.name} is none.`, devices)
  if (pool.gpus.length === 0) {
    const missing = whyGpu(wish)
    if (missing !== undefined) throw unavailable(missing, devices)
    return { ...pool, oneWillDo: false }
  }
  return narrow(wish, pool, devices)
}

/** Whether nothing but the CPU is wished for, so that no GPU need be asked for its memory. */
export function staysOnCpu(wish: PlacementWish): boolean {
  return whyOnCpu(wish) !== undefined
}

export function isGpu({ type }: DeviceInfo): boolean {
  return type === 'gpu' || type === 'igpu'
}

function whyOnCpu({ device, gpuLayers, mode }: PlacementWish): string | undefined {
  if (mode === 'fp32-cpu') return 'mode fp32-cpu computes on the CPU'
  if (device?.[0] === 'cpu') return "device is 'cpu'"
  return gpuLayers === 0 ? 'gpuLayers is 0' : undefined
}

/** Why the CPU will not do, if it will not. */
function whyGpu({ device, gpuLayers, mainGpu, mode, tensorSplit }: PlacementWish): string | undefined {
  if (mode !== 'auto') return `Mode ${mode} needs a CUDA device, and there is none.`
  const option =
    (device !== undefined && `device is 'gpu'`) ||
    (gpuLayers !== undefined && `gpuLayers is ${gpuLayers}`) ||
    (mainGpu !== undefined && `mainGpu is ${mainGpu}`) ||
    (tensorSplit !== undefined && `tensorSplit is ${tensorSplit.join(',')}`)
  return option ? `There is no GPU, but ${option}. Without it the CPU is used.` : undefined
}

/** Each card once, by its best backend; those of the best backend; with memory of their own where there are such. */
function best({ mode }: PlacementWish, gpus: readonly DeviceInfo[]): DeviceChoice {
  const notTaken: NotTaken[] = []
  const keep = (list: readonly DeviceInfo[], wanted: (gpu: DeviceInfo) => string | undefined) =>
    list.filter((gpu) => {
      const reason = wanted(gpu)
      if (reason !== undefined) notTaken.push(leave(reason)(gpu))
      return reason === undefined
    })
  const fitting = keep(byBackend(gpus), ({ backend }) =>
    mode !== 'auto' && backend !== modes[mode].backend ? `mode ${mode} needs a CUDA device` : undefined,
  )
  const once = keep(fitting, (gpu) => {
    const same = fitting.find(({ id }) => id !== undefined && id === gpu.id)
    return same && same !== gpu ? `it is the same card as ${same.name}` : undefined
  })
  const discrete = once.find(({ type }) => type === 'gpu')
  const own = keep(once, ({ type }) =>
    discrete && type !== 'gpu' ? `it has no memory of its own, as ${discrete.name} has; device can name it` : undefined,
  )
  const first = own[0]
  const chosen = keep(own, ({ backend }) =>
    first && backend !== first.backend
      ? `devices of ${first.backend} go before those of ${backend}; device can name both`
      : undefined,
  )
  return { gpus: chosen, oneWillDo: true, notTaken }
}

function byBackend(gpus: readonly DeviceInfo[]): DeviceInfo[] {
  const rank = ({ backend }: DeviceInfo) => {
    const at = BACKENDS.indexOf(backend)
    return at < 0 ? BACKENDS.length : at
  }
  return [...gpus].sort((a, b) => rank(a) - rank(b)) // stable: of one backend in its own order
}

/** A name is a device's (`cuda0`), or a backend's (`cuda`) for all of its devices. */
function named(names: readonly string[], devices: readonly DeviceInfo[]): DeviceChoice {
  const gpus = devices.filter(isGpu)
  const chosen = names.flatMap((name) => {
    const [, word = '', index = ''] = /^(.*?)(\d*)$/.exec(name) ?? []
    const backend = WORDS[word] ?? word
    const found = gpus.filter((gpu) =>
      index === '' ? gpu.backend.toLowerCase() === backend : gpu.name.toLowerCase() === backend + index,
    )
    const exact = gpus.filter((gpu) => gpu.name.toLowerCase() === name)
    if (exact.length > 0) return exact
    if (found.length > 0) return found
    throw unavailable(`There is no device ${name}.`, devices)
  })
  const unique = [...new Set(chosen)]
  const notTaken = gpus.filter((gpu) => !unique.includes(gpu)).map(leave(`device is '${names.join(',')}'`))
  return { gpus: unique, oneWillDo: names.length === 1, notTaken }
}

/** To one of them, or to as many as there are shares. */
function narrow(
  { mainGpu, tensorSplit }: PlacementWish,
  pool: DeviceChoice,
  devices: readonly DeviceInfo[],
): DeviceChoice {
  const { gpus } = pool
  if (mainGpu !== undefined) {
    const main = gpus[mainGpu]
    if (main === undefined) {
      throw unavailable(`mainGpu is ${mainGpu}, but ${counted(gpus)} can be chosen from, counted from 0.`, devices)
    }
    const rest = gpus.filter((gpu) => gpu !== main).map(leave(`mainGpu is ${mainGpu}`))
    return { gpus: [main], oneWillDo: true, notTaken: [...pool.notTaken, ...rest] }
  }
  if (tensorSplit === undefined) return pool
  if (tensorSplit.length > gpus.length) {
    throw unavailable(`tensorSplit has ${tensorSplit.length} shares, but ${counted(gpus)} can be chosen from.`, devices)
  }
  const shares = gpus.map((_, index) => tensorSplit[index] ?? 0)
  const rest = gpus.filter((_, index) => shares[index] === 0).map(leave('tensorSplit gives it nothing'))
  return {
    gpus: gpus.filter((_, index) => shares[index] !== 0),
    oneWillDo: false,
    notTaken: [...pool.notTaken, ...rest],
  }
}

function counted(gpus: readonly DeviceInfo[]): string {
  return gpus.length === 1 ? '1 GPU' : `${gpus.length} GPUs`
}

export function leave(reason: string): (gpu: DeviceInfo) => NotTaken {
  return ({ name }) => ({ name, reason })
}

export function unavailable(what: string, devices: readonly DeviceInfo[]): Phi2Error {
  const found = devices.map(({ description, name }) => (description ? `${name} (${description.trim()})` : name))
  return new Phi2Error('PHI2_MODE_UNAVAILABLE', `${what} Found: ${found.join(', ') || 'no GPU'}.`)
}
