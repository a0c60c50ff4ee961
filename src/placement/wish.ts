import { optionError } from '../errors.js'
import type { LoadOptions, Mode } from '../types.js'

/** Where the caller wants the layers, checked and complete. */
export interface PlacementWish {
  mode: Mode
  /** Names in lower case. Undefined: what is best. */
  device: readonly string[] | undefined
  /** -1 is all; undefined is as many as fit. */
  gpuLayers: number | undefined
  mainGpu: number | undefined
  tensorSplit: readonly number[] | undefined
}

/** Words that stand for a choice of their own. */
const ALONE = ['auto', 'cpu', 'gpu']

/**
 * Reads what concerns devices, after the mode has set its part.
 * @throws TypeError or RangeError with the code `PHI2_INVALID_OPTION` for options that contradict each other
 */
export function resolveWish(given: LoadOptions): PlacementWish {
  const { gpuLayers, mainGpu, mode = 'auto' } = given
  const device = readDevices(given.device)
  const tensorSplit = readSplit(given.tensorSplit)
  const wish = { mode, device, gpuLayers, mainGpu, tensorSplit }
  if (mainGpu !== undefined && tensorSplit !== undefined) {
    throw contradiction('mainGpu takes one GPU and tensorSplit shares the layers among several')
  }
  const onCpu = gpuLayers === 0 ? (mode === 'fp32-cpu' ? `mode is 'fp32-cpu'` : 'gpuLayers is 0') : undefined
  if (onCpu === undefined) {
    if (device?.[0] !== 'cpu') return wish
    const wanted = mode !== 'auto' ? `mode is '${mode}'` : gpuLayers !== undefined && `gpuLayers is ${gpuLayers}`
    if (wanted) throw contradiction(`device is 'cpu' but ${wanted}`)
  } else if (device !== undefined && device[0] !== 'cpu') {
    throw contradiction(`${onCpu} but device is '${device.join(',')}'`)
  }
  for (const name of ['mainGpu', 'tensorSplit'] as const) {
    if (given[name] !== undefined) throw contradiction(`${name} is given but ${onCpu ?? "device is 'cpu'"}`)
  }
  return wish
}

function readDevices(device: LoadOptions['device']): readonly string[] | undefined {
  if (device === undefined) return undefined
  const given: readonly unknown[] = typeof device === 'string' ? [device] : device
  const names = given.flatMap((name) => (typeof name === 'string' ? name.toLowerCase().split(',') : ['']))
  const devices = names.map((name) => name.trim())
  if (devices.length === 0 || devices.includes('')) {
    throw optionError('type', "Expected a device such as 'cuda0', or an array of them, for device")
  }
  if (new Set(devices).size < devices.length) {
    throw optionError('range', `Expected each device once for device but received '${devices.join(',')}'`)
  }
  const word = devices.find((name) => ALONE.includes(name))
  if (word !== undefined && devices.length > 1) {
    throw optionError('range', `Expected '${word}' alone for device but received '${devices.join(',')}'`)
  }
  return word === 'auto' ? undefined : devices
}

function readSplit(split: LoadOptions['tensorSplit']): readonly number[] | undefined {
  if (split === undefined) return undefined
  if (
    split.length === 0 ||
    !split.every((share) => share >= 0 && share <= 1e6) ||
    split.every((share) => share === 0)
  ) {
    throw optionError('range', 'Expected numbers from 0 to 1000000, not all of them 0, for tensorSplit')
  }
  return split
}

function contradiction(what: string): Error {
  return optionError('range', `Expected options that agree but received some that do not: ${what}`)
}
