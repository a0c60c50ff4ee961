import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { SOURCE_FILE } from '../../gguf/source.js'

export interface CheckpointFile {
  bytes: number
  sha256: string
  verified: boolean
}

/** {@link SOURCE_FILE} in a checkpoint's folder, which a conversion reads as well: written after each file, so that a pull that goes on knows what it has. */
export interface CheckpointRecord {
  /** As it would be pulled again. */
  source: string
  repository: string
  /** The commit, where the hub tells it; else the branch or tag. */
  revision: string
  url: string
  /** ISO 8601. */
  date: string
  complete: boolean
  files: Readonly<Record<string, CheckpointFile>>
}

export interface Checkpoint extends CheckpointRecord {
  folder: string
  bytes: number
  /** All weights agree with a hash that was known, or that the hub told. */
  verified: boolean
  /** Nothing had to be downloaded. */
  cached: boolean
}

/** What is known of the checkpoint in a folder; files that are not as they were left count as missing. */
export async function readRecord(folder: string): Promise<CheckpointRecord | undefined> {
  try {
    const source = JSON.parse(await readFile(join(folder, SOURCE_FILE), 'utf8')) as CheckpointRecord
    const files: Record<string, CheckpointFile> = {}
    for (const [name, file] of Object.entries(source.files)) {
      if ((await sizeOf(join(folder, name))) === file.bytes) files[name] = file
    }
    const complete = source.complete && Object.keys(files).length === Object.keys(source.files).length
    return { ...source, files, complete }
  } catch {
    return undefined
  }
}

/** Held by who downloads a checkpoint, converts it or removes it. */
export function checkpointLock(folder: string): string {
  return join(folder, `${SOURCE_FILE}.lock`)
}

/** Empties the folder, but for the lock that the caller holds. */
export async function removeCheckpoint(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    if (path !== checkpointLock(folder)) await rm(path, { recursive: true, force: true })
  }
}

export function summary(source: CheckpointRecord, folder: string, cached: boolean): Checkpoint {
  const weights = Object.entries(source.files).filter(([name]) => name.endsWith('.safetensors'))
  return {
    ...source,
    folder,
    bytes: Object.values(source.files).reduce((sum, { bytes }) => sum + bytes, 0),
    verified: weights.every(([, { verified }]) => verified),
    cached,
  }
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0
}
