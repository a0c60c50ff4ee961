import { basename } from 'node:path'
import type { ResolvedModel } from '../models/resolve.js'
import { loadAddon } from '../native.js'
import { type ResolvedLoad, resolveLoad } from '../options.js'
import type { DeviceChoice } from '../placement/choose.js'
import { withMode } from '../placement/modes.js'
import { usableProcessors } from '../threads.js'
import type { DeviceInfo, LoadOptions, ModelInfo } from '../types.js'
import { isNear, serves, type TunedKey, type TunedProfile, withTuned } from './profile.js'
import { readProfiles, tunedPath } from './store.js'

/**
 * What a load uses: the options that were not given are those of this machine's profile, if there is one. Without a
 * stored profile this costs one look for the file.
 */
export async function resolveTuned(
  options: LoadOptions | undefined,
  given: ResolvedLoad,
  model: ResolvedModel,
  choice: DeviceChoice,
): Promise<{ resolved: ResolvedLoad; tuned?: ModelInfo['tuned'] }> {
  const profile = given.tuned ? await findProfile(model, given, choice) : undefined
  if (profile === undefined) return { resolved: given }
  const { options: completed, taken } = withTuned(withMode(options ?? {}), profile.options)
  if (Object.keys(taken).length === 0) return { resolved: given }
  return { resolved: resolveLoad(completed), tuned: { options: taken, date: profile.date, path: tunedPath() } }
}

async function findProfile(
  model: ResolvedModel,
  options: KeyOptions,
  choice: DeviceChoice,
): Promise<TunedProfile | undefined> {
  const stored = readProfiles()
  if (stored.length === 0) return undefined
  const here = keyWithoutType(model, options, choice)
  const near = stored.filter(({ key }) => isNear(key, here))
  if (near.length === 0) return undefined
  const fileType = await fileTypeOf(model)
  return fileType === undefined ? undefined : near.find(({ key }) => serves(key, { ...here, fileType }))
}

type KeyOptions = Pick<ResolvedLoad, 'gpuLayers' | 'kvType'>

/** Undefined for a file that does not say its type: nothing can be stored for it. */
export async function tunedKey(
  model: ResolvedModel,
  options: KeyOptions,
  choice: DeviceChoice,
): Promise<TunedKey | undefined> {
  const fileType = await fileTypeOf(model)
  return fileType === undefined ? undefined : { ...keyWithoutType(model, options, choice), fileType }
}

/** Only who has a profile, or makes one, loads the code for it. */
async function fileTypeOf({ path }: ResolvedModel): Promise<number | undefined> {
  const { readFileType } = await import('../models/file-type.js')
  return readFileType(path)
}

function keyWithoutType(
  { bytes }: ResolvedModel,
  { gpuLayers, kvType }: KeyOptions,
  { gpus }: DeviceChoice,
): Omit<TunedKey, 'fileType'> {
  const { backendInfo, versions } = loadAddon()
  const { cpuBackendPath, devices } = backendInfo(false)
  return {
    cpu: devices.find(({ type }) => type === 'cpu')?.description.trim() || 'unknown',
    processors: usableProcessors(),
    llama: versions.llama,
    backend: basename(cpuBackendPath),
    device: deviceOf(gpus, gpuLayers),
    bytes,
    kvType,
  }
}

function deviceOf(gpus: readonly DeviceInfo[], gpuLayers = -1): string {
  if (gpus.length === 0) return 'CPU'
  const names = gpus.map(({ description }) => description).join(' + ')
  return gpuLayers < 0 ? names : `${names}, ${gpuLayers} layers`
}
