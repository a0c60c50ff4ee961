import { totalmem } from 'node:os'
import { Phi2Error } from '../errors.js'
import { prepareLoad } from '../loading.js'
import { resolveModel } from '../models/resolve.js'
import { resolveLoad } from '../options.js'
import type { DeviceInfo, DeviceShare, LoadOptions, MemoryPlan, PlannedShare } from '../types.js'
import { bytesOf } from './fit.js'
import { modelOfMode } from './modes.js'
import { describeShares, measure } from './place.js'

/** What {@link Phi2.plan} gives. */
export async function planLoad(options: LoadOptions | undefined): Promise<MemoryPlan> {
  const { draft, mode, model, signal } = resolveLoad(options)
  if (model !== undefined || modelOfMode(mode) === undefined) refuseRemote(model)
  if (draft !== undefined) refuseRemote(draft)
  const { choice, fitted, native, notTaken, resolved, warnings, ...prepared } = await prepareLoad(options)
  const need = fitted.need ?? (await measure(native, signal))
  signal?.throwIfAborted()
  const devices = withRoom(describeShares(need.devices), choice.gpus)
  return {
    path: prepared.model.path,
    mode,
    contextSize: resolved.contextSize,
    batchSize: resolved.batchSize,
    microBatchSize: resolved.microBatchSize,
    maxSequences: resolved.maxSequences,
    kvType: resolved.kvType,
    flashAttention: resolved.flashAttention,
    layers: need.layers,
    gpuLayers: native.n_gpu_layers,
    fits: devices.every(({ fits }) => fits),
    devices,
    notTaken,
    warnings,
  }
}

/** A plan is made before a download of gigabytes, not after it. */
function refuseRemote(model: string | undefined): void {
  const found = resolveModel(model)
  if (!('reference' in found)) return
  const { reference } = found
  throw new Phi2Error(
    'PHI2_MODEL_NOT_FOUND',
    `${reference} is not in the cache, and a plan needs the file. \`phi2 inspect ${reference}\` estimates without a download, ` +
      `\`phi2 pull ${reference}\` downloads it.`,
  )
}

function withRoom(shares: readonly DeviceShare[], gpus: readonly DeviceInfo[]): PlannedShare[] {
  // Of the machine's memory the engine would say that all of it is free.
  const machine = { memoryFree: process.availableMemory(), memoryTotal: totalmem() }
  return shares.map((share) => {
    const { memoryFree, memoryTotal } = gpus.find(({ name }) => name === share.name) ?? machine
    return { ...share, memoryFree, memoryTotal, fits: memoryTotal === 0 || bytesOf(share) <= memoryFree }
  })
}
