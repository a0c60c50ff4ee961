import type { NativeMemoryNeed, NativeShare } from '../native.js'
import type { DeviceInfo, NotTaken } from '../types.js'
import { type DeviceChoice, leave } from './choose.js'
import type { PlacementWish } from './wish.js'

/** Where the layers go, in the engine's words. */
export interface NativePlacement {
  /** Names of the GPUs in their order; none: the CPU has all. */
  devices: string[]
  /** The output layer counts as one. */
  n_gpu_layers: number
  /** Each device's share; undefined: by its free memory. */
  tensor_split?: number[] | undefined
}

export interface FittedPlacement {
  native: NativePlacement
  /** What it takes, where that was measured: always, if GPUs are there to be used. */
  need?: NativeMemoryNeed
  /** What does not fit. Where the caller left the number of layers open, fewer were taken because of it. */
  shortage?: string
  /** What fits, but leaves less free than a load would leave by itself. */
  tight?: string
  /** Of the devices chosen, those that are not needed or have no room. */
  notTaken: NotTaken[]
}

/** Tells what a placement takes, from the engine itself. */
export type Measure = (placement: NativePlacement) => Promise<NativeMemoryNeed>

/**
 * Bytes of a GPU that stay free when the number of layers is left open: the engine takes some more while it computes
 * (buffers of cuBLAS, copies of weights in another type), and the screen some.
 */
export const RESERVE = 512 * 1024 * 1024

/** As many layers as fit, or as many as are wanted; fewer than all only where the caller left the number open. */
export async function fitLayers(
  { gpuLayers, tensorSplit }: Pick<PlacementWish, 'gpuLayers' | 'tensorSplit'>,
  { gpus, oneWillDo }: DeviceChoice,
  measure: Measure,
): Promise<FittedPlacement> {
  if (gpus.length === 0) return { native: { devices: [], n_gpu_layers: 0 }, notTaken: [] }
  const shares = tensorSplit?.filter((share) => share > 0)
  const on = (chosen: readonly DeviceInfo[], layers: number): NativePlacement => ({
    devices: chosen.map(({ name }) => name),
    n_gpu_layers: layers,
    ...(shares && chosen.length > 1 && { tensor_split: shares }),
  })
  const attempt = async (chosen: readonly DeviceInfo[], layers: number, reserve: number): Promise<FittedPlacement> => {
    const native = on(chosen, layers)
    const need = await measure(native)
    const shortage = shortageOf(need, chosen, reserve)
    const tight = shortage === undefined ? shortageOf(need, chosen, RESERVE) : undefined
    const rest = gpus.filter((gpu) => !chosen.includes(gpu))
    return {
      native: { ...native, n_gpu_layers: layers < 0 ? need.layers : Math.min(layers, need.layers) },
      need,
      ...(shortage && { shortage }),
      ...(tight && { tight }),
      notTaken: rest.map(leave(`${native.devices.join(', ')} alone has room for everything`)),
    }
  }

  // What was asked for by number needs no more than there is.
  const reserve = gpuLayers === undefined ? RESERVE : 0
  const wanted = gpuLayers ?? -1
  const alone = await attempt(oneWillDo ? [roomiest(gpus)] : gpus, wanted, reserve)
  if (alone.shortage === undefined) return alone
  const together = oneWillDo && gpus.length > 1 ? await attempt(gpus, wanted, reserve) : alone
  if (together.shortage === undefined || gpuLayers !== undefined) return together

  const { shortage } = together
  const none = gpus.map(leave(`not one layer fits: all of them would take ${shortage}`))
  let fitting: FittedPlacement = { native: { devices: [], n_gpu_layers: 0 }, notTaken: none }
  let least = 1
  let most = together.native.n_gpu_layers - 1
  while (least <= most) {
    const middle = Math.ceil((least + most) / 2)
    const tried = await attempt(gpus, middle, reserve)
    if (tried.shortage === undefined) {
      fitting = tried
      least = middle + 1
    } else {
      most = middle - 1
    }
  }
  return { ...fitting, shortage }
}

export function bytesOf({ compute, kv, weights }: NativeShare): number {
  return weights + kv + compute
}

function roomiest(gpus: readonly DeviceInfo[]): DeviceInfo {
  return gpus.reduce((best, gpu) => (gpu.memoryFree > best.memoryFree ? gpu : best))
}

function shortageOf(need: NativeMemoryNeed, gpus: readonly DeviceInfo[], reserve: number): string | undefined {
  const texts = gpus.flatMap((gpu) => {
    const share = need.devices.find(({ name }) => name === gpu.name)
    // Some devices do not tell their memory.
    if (share === undefined || gpu.memoryTotal === 0 || bytesOf(share) + reserve <= gpu.memoryFree) return []
    const kept = reserve > 0 ? `, of which ${gigabytes(reserve)} should stay free` : ''
    return [`${gigabytes(bytesOf(share))} on ${gpu.name}, where ${gigabytes(gpu.memoryFree)} are free${kept}`]
  })
  return texts.length === 0 ? undefined : texts.join(', and ')
}

export function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`
}
