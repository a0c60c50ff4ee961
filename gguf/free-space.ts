import { statfs } from 'node:fs/promises'
import { Phi2Error } from '../src/errors.js'

/**
 * Makes sure that `bytes` more fit on the file system of `folder`, before much work is done in vain. Where that cannot be
 * told (no such folder, a network drive that reports no sizes) nothing is refused: writing will show it.
 *
 * @param purpose what the room is for, as in `Converting phi-2 to F16`
 * @throws {Phi2Error} `PHI2_NO_SPACE` naming what is needed and what is free.
 */
export async function checkFreeSpace(folder: string, bytes: number, purpose: string): Promise<void> {
  const free = await freeSpace(folder)
  if (free === undefined || free >= bytes) return
  throw new Phi2Error(
    'PHI2_NO_SPACE',
    `${purpose} needs ${formatSize(bytes)} in ${folder}, where ${formatSize(free)} are free. ` +
      'Make room there or choose another folder.',
  )
}

/** Bytes that this user may still write there; undefined where the file system does not say. */
export async function freeSpace(folder: string): Promise<number | undefined> {
  const system = await statfs(folder).catch(() => undefined)
  return system === undefined || system.blocks === 0 ? undefined : system.bavail * system.bsize
}

/** `2.96 GB (2956226560 bytes)`: the figure to read, and the one to compare. */
function formatSize(bytes: number): string {
  const [unit, name] = bytes >= 1e9 ? [1e9, 'GB'] : bytes >= 1e6 ? [1e6, 'MB'] : [1e3, 'kB']
  return `${(bytes / (unit as number)).toFixed(2)} ${name} (${bytes} bytes)`
}
