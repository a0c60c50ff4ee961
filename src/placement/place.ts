import { basename } from 'node:path'
import { Phi2Error } from '../errors.js'
import { readFileType } from '../models/file-type.js'
import { howToGet, type ResolvedModel } from '../models/resolve.js'
import { loadAddon, type NativeEngineOptions, type NativeShare } from '../native.js'
import { settle } from '../native-task.js'
import { backendsNotTaken } from '../system.js'
import type { DeviceInfo, DeviceShare, Mode, NotTaken } from '../types.js'
import { chooseDevices, type DeviceChoice, staysOnCpu } from './choose.js'
import { type FittedPlacement, fitLayers } from './fit.js'
import { modes } from './modes.js'
import type { PlacementWish } from './wish.js'

/**
 * The devices that this machine has for a wish, with the reasons for the rest.
 * @throws {Phi2Error} `PHI2_MODE_UNAVAILABLE`, `PHI2_BINDING_NOT_FOUND`
 */
export function chooseHere(wish: PlacementWish): DeviceChoice {
  const devices = loadAddon().devices(!staysOnCpu(wish))
  try {
    const choice = chooseDevices(wish, devices)
    return { ...choice, notTaken: [...choice.notTaken, ...otherBackends()] }
  } catch (error) {
    if (!(error instanceof Phi2Error)) throw error
    const reasons = otherBackends().map(({ name, reason }) => `${name}: ${reason}.`)
    throw new Phi2Error(error.code, [error.message, ...reasons].join(' '))
  }
}

function otherBackends(): NotTaken[] {
  return backendsNotTaken().map(({ backend, reason }) => ({ name: backend, reason }))
}

/** @throws {Phi2Error} `PHI2_MODE_UNAVAILABLE` unless the file is of the type that the mode is about */
export async function checkFileType(mode: Mode, { path }: ResolvedModel): Promise<void> {
  if (mode === 'auto') return
  const { fileType, weights } = modes[mode]
  const found = await readFileType(path)
  // What is no GGUF file is told of by who loads it.
  if (found === fileType || found === undefined) return
  throw new Phi2Error(
    'PHI2_MODE_UNAVAILABLE',
    `Mode ${mode} needs a file with weights in ${weights.toUpperCase()}, and ${basename(path)} has ${loadAddon().fileTypeName(found)}. ` +
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
