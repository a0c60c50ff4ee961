import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheFolder } from '../models/cache.js'
import { acquireLock } from '../models/download/lock.js'

/**
 * Lends a folder in the cache for models that are made only to be measured, and removes it afterwards. One process at a
 * time has it: others wait, because two measurements at once would spoil each other. What a killed one left is removed.
 */
export async function withScratchFolder<T>(
  signal: AbortSignal | undefined,
  use: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = join(cacheFolder(), 'scratch')
  const lock = await acquireLock(`${folder}.lock`, { signal })
  try {
    await rm(folder, { recursive: true, force: true })
    await mkdir(folder)
    return await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true }).finally(() => lock.release())
  }
}
