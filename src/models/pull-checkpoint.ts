import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { fileError } from '../../gguf/atomic-file.js'
import { readModelCard } from '../../gguf/model-card.js'
import { Phi2Error } from '../errors.js'
import { cacheFolder, type Provenance, readProvenance, removeEmpty, removeLeftovers, writeProvenance } from './cache.js'
import { pullCheckpoint } from './checkpoint.js'
import { type Checkpoint, checkpointLock, removeCheckpoint } from './checkpoint-record.js'
import { acquireLock } from './download/lock.js'
import { Speed } from './download/speed.js'
import { hashFile } from './fetch.js'
import { formatRef } from './hub.js'
import { makeModel, roomToMake } from './make.js'
import { type MadeType, madeType } from './names.js'
import type { PullContext, PullOptions, PullResult } from './pull.js'
import { destination, fileSize, isCached, PHASES, resultOf } from './pull-file.js'
import type { CheckpointTarget } from './pull-target.js'

/** Downloads a checkpoint, and makes a model of it if that was asked for. */
export async function pullCheckpointTarget(
  target: CheckpointTarget,
  options: PullOptions,
  context: PullContext,
): Promise<PullResult> {
  const { convert, to } = options
  try {
    if (convert !== undefined) return await makeFrom(target, madeType(convert), options, context)
    const folder = to === undefined ? target.folder : resolve(to)
    return await withLock(checkpointLock(folder), target.ref.repository, options, async () => {
      const checkpoint = await getCheckpoint(target, folder, options, context, () => 0)
      const { bytes, cached, verified } = checkpoint
      const license = await licenseOf(checkpoint)
      return { path: folder, bytes, sha256: undefined, verified, source: formatRef(target.ref), license, cached }
    })
  } catch (error) {
    throw fileError(to ?? target.folder, error)
  }
}

/** Waits for somebody else who works on the same, and then finds it done. */
async function withLock<T>(
  path: string,
  file: string,
  { onProgress, signal }: PullOptions,
  use: () => Promise<T>,
): Promise<T> {
  const onWait = () => onProgress?.({ step: 'wait', file, done: 0, total: undefined, bytesPerSecond: 0 })
  const lock = await acquireLock(path, { signal, onWait })
  try {
    return await use()
  } finally {
    await lock.release()
  }
}

function getCheckpoint(
  { known, ref }: CheckpointTarget,
  folder: string,
  { force = false, onProgress, signal }: PullOptions,
  { catalog, environment }: PullContext,
  reserve: (checkpointBytes: number) => number,
): Promise<Checkpoint> {
  const { weights } = catalog.checkpoint
  return pullCheckpoint({
    ref,
    folder,
    known,
    weights,
    force,
    reserve,
    environment,
    signal,
    onProgress: ({ phase, ...progress }) => onProgress?.({ step: PHASES[phase], ...progress }),
  })
}

async function licenseOf({ folder }: Checkpoint): Promise<string | undefined> {
  const { license, licenseName } = await readModelCard(folder)
  return license === 'other' ? (licenseName ?? license) : license
}

async function makeFrom(
  target: CheckpointTarget,
  type: MadeType,
  options: PullOptions,
  context: PullContext,
): Promise<PullResult> {
  const path = await destination(options.to, target.modelPath(type))
  return withLock(`${path}.lock`, basename(path), options, async () => {
    const { force = false, keepCheckpoint = true } = options
    const cached = isCached(path, context)
    const made = force ? undefined : await madeBefore(path, target)
    if (made) return { ...resultOf(made, path), cached: true }
    if (!cached && !force && (await fileSize(path)) !== undefined) {
      throw new Phi2Error('PHI2_IO', `${path} exists already. Choose another place, or force (--force) to replace it.`)
    }
    if (cached) await removeLeftovers(path)
    // Nobody may remove the checkpoint while it is read, nor a second conversion take the memory.
    const provenance = await withLock(checkpointLock(target.folder), target.ref.repository, options, async () => {
      const provenance = await makeAt(path, target, type, options, context)
      if (!keepCheckpoint) await removeCheckpoint(target.folder)
      return provenance
    })
    if (cached) await writeProvenance(path, provenance)
    if (!keepCheckpoint) await removeEmpty(target.folder, cacheFolder(context.environment))
    return { ...resultOf(provenance, path), cached: false }
  })
}

/** @returns what there is to know of the model */
async function makeAt(
  path: string,
  target: CheckpointTarget,
  type: MadeType,
  options: PullOptions,
  context: PullContext,
): Promise<Provenance> {
  const { signal } = options
  const reserve = (bytes: number) => roomToMake(type, bytes)
  const checkpoint = await getCheckpoint(target, target.folder, options, context, reserve)
  await makeModel({ checkpoint, type, to: path, signal, onProgress: progressOf(path, checkpoint, options) })
  const license = await licenseOf(checkpoint)
  return {
    source: formatRef(target.ref),
    repository: checkpoint.repository,
    revision: checkpoint.revision,
    bytes: (await stat(path)).size,
    sha256: await hashFile(path),
    verified: checkpoint.verified,
    ...(license !== undefined && { license }),
    date: new Date().toISOString(),
    converted: true,
  }
}

async function madeBefore(path: string, { ref }: CheckpointTarget): Promise<Provenance | undefined> {
  const provenance = await readProvenance(path)
  const same = provenance?.converted === true && provenance.source === formatRef(ref)
  return same && (await fileSize(path)) === provenance.bytes ? provenance : undefined
}

/** Both steps read about as much as the checkpoint has. */
function progressOf(path: string, { bytes }: Checkpoint, { onProgress }: PullOptions) {
  const speeds = { convert: new Speed(), quantize: new Speed() }
  return (step: 'convert' | 'quantize', fraction: number) => {
    const done = Math.round(fraction * bytes)
    const bytesPerSecond = speeds[step].record(performance.now(), done)
    onProgress?.({ step, file: basename(path), done, total: bytes, bytesPerSecond })
  }
}
