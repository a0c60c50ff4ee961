import { type DeviceChoice, unavailable } from './choose.js'
import type { FittedPlacement } from './fit.js'
import type { PlacementWish } from './wish.js'

/** @throws {Phi2Error} `PHI2_MODE_UNAVAILABLE` when what was asked for by name does not fit */
export function requireRoom({ gpuLayers, mode }: PlacementWish, { gpus }: DeviceChoice, fitted: FittedPlacement): void {
  const { native, shortage } = fitted
  if (shortage === undefined || gpuLayers === undefined) return
  const what = mode === 'auto' ? `gpuLayers ${gpuLayers}` : `Mode ${mode}`
  const instead =
    mode === 'auto' ? 'Without gpuLayers as many are taken as fit' : "Mode 'auto' takes as many layers as fit"
  throw unavailable(
    `${what} puts ${native.n_gpu_layers} of ${fitted.need?.layers} layers on the GPU, which takes ${shortage}. ` +
      `${instead}; a smaller contextSize takes less.`,
    gpus,
  )
}

/** What a user should hear of layers that did not fit, or only just do. */
export function roomWarnings({ gpuLayers }: Pick<PlacementWish, 'gpuLayers'>, fitted: FittedPlacement): string[] {
  const { native, need, shortage, tight } = fitted
  if (tight !== undefined) {
    return [`The layers take ${tight}: a GPU that runs out of memory while it computes ends the process.`]
  }
  if (shortage === undefined) return []
  const { devices, n_gpu_layers } = native
  if (gpuLayers !== undefined)
    return [`${n_gpu_layers} of ${need?.layers} layers do not fit: they would take ${shortage}.`]
  const found =
    devices.length === 0
      ? 'No layer fits on the GPU, so the CPU computes all of them'
      : `${n_gpu_layers} of ${need?.layers} layers are on ${devices.join(' and ')}, the rest is on the CPU`
  return [`${found}: all of them would take ${shortage}. A smaller file or contextSize takes less.`]
}
