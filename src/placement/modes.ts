import { optionError } from '../errors.js'
import type { KvType, LoadOptions, Mode } from '../types.js'

/** What an execution mode of Phi-2's model card stands for here. */
export interface ModeSettings {
  /** Type that the matrices must have, by the name of the model in the cache. */
  weights: 'f16' | 'f32'
  /** The same as `general.file_type`. */
  fileType: number
  /** Registry of the devices that may hold the layers; `CPU` for none. */
  backend: 'CUDA' | 'CPU'
  /** -1: all */
  gpuLayers: -1 | 0
  flashAttention: boolean
  kvType: KvType
}

export type FixedMode = Exclude<Mode, 'auto'>

export const modes: Readonly<Record<FixedMode, ModeSettings>> = {
  'fp16-flash-cuda': {
    weights: 'f16',
    fileType: 1,
    backend: 'CUDA',
    gpuLayers: -1,
    flashAttention: true,
    kvType: 'f16',
  },
  'fp16-cuda': { weights: 'f16', fileType: 1, backend: 'CUDA', gpuLayers: -1, flashAttention: false, kvType: 'f16' },
  'fp32-cuda': { weights: 'f32', fileType: 0, backend: 'CUDA', gpuLayers: -1, flashAttention: false, kvType: 'f32' },
  'fp32-cpu': { weights: 'f32', fileType: 0, backend: 'CPU', gpuLayers: 0, flashAttention: false, kvType: 'f32' },
}

/**
 * The options completed by those that the mode sets.
 * @throws RangeError with the code `PHI2_INVALID_OPTION` for one that says otherwise
 */
export function withMode<T extends Pick<LoadOptions, 'mode' | 'flashAttention' | 'kvType' | 'gpuLayers'>>(given: T): T {
  const { mode = 'auto' } = given
  if (mode === 'auto') return given
  const { flashAttention, gpuLayers, kvType } = modes[mode]
  const fixed = { flashAttention, gpuLayers, kvType }
  for (const [name, value] of Object.entries(fixed)) {
    const found = given[name as keyof typeof fixed]
    if (found !== undefined && found !== value) {
      throw optionError(
        'range',
        `Expected ${value} for ${name} together with mode '${mode}', which sets it, but received ${found}. Leave ${name} out, or use mode 'auto'`,
      )
    }
  }
  return { ...given, ...fixed }
}

/** The model to load when nobody names one: the mode's own type of it, if there is a mode. */
export function modelOfMode(
  mode: Mode = 'auto',
  environment: { PHI2_MODEL?: string | undefined } = process.env,
): string | undefined {
  return mode === 'auto' || environment.PHI2_MODEL ? undefined : modes[mode].weights
}
