import { totalmem } from 'node:os'
import { prepareLoad } from '../loading.js'
import { resolveLoad } from '../options.js'
import type { DeviceInfo, DeviceShare, LoadOptions, MemoryPlan, PlannedShare } from '../types.js'
import { bytesOf } from './fit.js'
import { modelOfMode } from './modes.js'
import { describeShares, measure } from './place.js'
import { type PlannedFile, withFile } from './stand-in.js'

/** What {@link Phi2.plan} gives. */
export async function planLoad(options: LoadOptions = {}): Promise<MemoryPlan> {
  const { draft, mode, model, signal } = resolveLoad(options)
  signal?.throwIfAborted()
  // Without a model a mode looks for its own in the cache.
  const isKnown = model !== undefined || modelOfMode(mode) === undefined
  const lend = (name: string | undefined, needed: boolean, use: (file: PlannedFile) => Promise<MemoryPlan>) =>
    needed ? withFile(name, signal, use) : use({ model: name })
  return lend(model, isKnown, (file) =>
    lend(draft, draft !== undefined, (draftFile) => planFiles(options, file, draftFile)),
  )
}

async function planFiles(options: LoadOptions, file: PlannedFile, draft: PlannedFile): Promise<MemoryPlan> {
  const { choice, fitted, native, notTaken, resolved, warnings, ...prepared } = await prepareLoad({
    ...options,
    ...(file.model !== undefined && { model: file.model }),
    ...(draft.model !== undefined && { draft: draft.model }),
  })
  const { signal } = resolved
  const need = fitted.need ?? (await measure(native, signal))
  signal?.throwIfAborted()
  const devices = withRoom(describeShares(need.devices), choice.gpus)
  return {
    path: file.standsFor ?? prepared.model.path,
    mode: resolved.mode,
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

function withRoom(shares: readonly DeviceShare[], gpus: readonly DeviceInfo[]): PlannedShare[] {
  // Of the machine's memory the engine would say that all of it is free.
  const machine = { memoryFree: process.availableMemory(), memoryTotal: totalmem() }
  return shares.map((share) => {
    const { memoryFree, memoryTotal } = gpus.find(({ name }) => name === share.name) ?? machine
    return { ...share, memoryFree, memoryTotal, fits: memoryTotal === 0 || bytesOf(share) <= memoryFree }
  })
}
