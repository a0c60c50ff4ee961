import { basename } from 'node:path'
import { Phi2Error } from '../errors.js'
import { howToGet, type ResolvedModel, resolveModel } from '../models/resolve.js'
import { loadAddon, type NativeEngineOptions, type NativeShare } from '../native.js'
import { settle } from '../native-task.js'
import { backendsNotTaken } from '../system.js'
import type { DeviceInfo, DeviceShare, Mode } from '../types.js'
import { chooseDevices, type DeviceChoice, staysOnCpu } from './choose.js'
import { type FittedPlacement, fitLayers } from './fit.js'
import { type FixedMode, modelOfMode, modes } from './modes.js'
import type { PlacementWish } from './wish.js'

/**
 * The devices that this machine has for a wish, with the reasons for the rest.
 * @throws {Phi2Error} `PHI2_MODE_UNAVAILABLE`, `PHI2_BINDING_NOT_FOUND`
 */
export function chooseHere(wish: PlacementWish): DeviceChoice {
  const devices = loadAddon().devices(!staysOnCpu(wish))
  const others = backendsNotTaken().map(({ backend, reason }) => ({ name: backend, reason }))
  try {
    const choice = chooseDevices(wish, devices)
    return { ...choice, notTaken: [...choice.notTaken, ...others] }
  } catch (error) {
    if (!(error instanceof Phi2Error)) throw error
    const wanted = others.filter(({ name }) => concerns(wish, name))
    const reasons = (wanted.length > 0 ? wanted : others).map(({ name, reason }) => `${name}: ${reason}.`)
    throw new Phi2Error(error.code, [error.message, ...reasons].join(' '))
  }
}

/** Whether it is this backend that is missing. */
function concerns({ device, mode }: PlacementWish, backend: string): boolean {
  if (mode !== 'auto') return modes[mode].backend.toLowerCase() === backend
  return device?.some((name) => name.startsWith(backend)) ?? false
}

/**
 * The model that a mode takes when none is named: from the cache, since a conversion is nothing to be begun unasked.
 * @throws {Phi2Error} `PHI2_MODE_UNAVAILABLE` when it is not there
 */
export function modelForMode(mode: Mode): string | undefined {
  const model = modelOfMode(mode)
  if (mode === 'auto' || model === undefined) return model
  try {
    resolveModel(model)
    return model
  } catch (cause) {
    if (!(cause instanceof Phi2Error)) throw cause
    throw new Phi2Error('PHI2_MODE_UNAVAILABLE', `${needOf(mode)}: ${cause.message}`, { cause })
  }
}

function needOf(mode: FixedMode): string {
  return `Mode ${mode} needs a file with weights in ${modes[mode].weights.toUpperCase()}`
}

/** @throws {Phi2Error} `PHI2_MODE_UNAVAILABLE` unless the file is of the type that the mode is about */
export async function checkFileType(mode: Mode, { path }: ResolvedModel): Promise<void> {
  if (mode === 'auto') return
  const { readFileType } = await import('../models/file-type.js')
  const { fileType, weights } = modes[mode]
  const found = await readFileType(path)
  // What is no GGUF file is told of by who loads it.
  if (found === fileType || found === undefined) return
  throw new Phi2Error(
    'PHI2_MODE_UNAVAILABLE',
    `${needOf(mode)}, and ${basename(path)} has ${loadAddon().fileTypeName(found)}. ` +
      `${howToGet(weights)} Mode 'auto' takes files of any type.`,
  )
}

/**
 * Where the layers go, by what they take there.
 * @throws {Phi2Error} what a load throws of a file
 */
export function fitHere(
  wish: PlacementWish,
  choice: DeviceChoice,
  options: NativeEngineOptions,
  signal?: AbortSignal,
): Promise<FittedPlacement> {
  return fitLayers(wish, choice, (placement) => measure({ ...options, ...placement }, signal))
}

export function measure(options: NativeEngineOptions, signal?: AbortSignal) {
  return settle(loadAddon().measureMemory(options), signal)
}

/** The shares with what the devices call themselves. */
export function describeShares(shares: readonly NativeShare[]): DeviceShare[] {
  const devices = loadAddon().devices(false)
  return shares.map(({ name, ...rest }) => ({ name, description: describe(name, devices), ...rest }))
}

function describe(name: string, devices: readonly DeviceInfo[]): string {
  return devices.find((device) => device.name === name)?.description.trim() ?? ''
}

/** Names of the devices that hold layers. */
export function holdersOf(shares: readonly NativeShare[]): string {
  return shares
    .filter(({ layers }) => layers > 0)
    .map(({ name }) => name)
    .join(', ')
}
