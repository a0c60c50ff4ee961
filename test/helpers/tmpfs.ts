import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

/** Why this machine cannot give a test a file system of its own, or false. */
export const noTmpfs: string | false = whyNot()

function whyNot(): string | false {
  if (process.platform !== 'linux') return `a tmpfs can be mounted on Linux only, not on ${process.platform}`
  if (process.getuid?.() !== 0) return 'only root may mount a tmpfs'
  const folder = mkdtempSync(join(tmpdir(), 'phi2-mount-'))
  try {
    mount(folder, 4096)
    unmount(folder)
    return false
  } catch (error) {
    return `a tmpfs cannot be mounted here: ${(error as Error).message.trim()}`
  } finally {
    rmdirSync(folder)
  }
}

/**
 * An empty folder that holds no more than `bytes`, as a full disk does; unmounted and removed when the test ends. To be
 * called only where {@link noTmpfs} is false: `test(name, { skip: noTmpfs }, …)`.
 */
export function smallDisk(t: TestContext, bytes: number): string {
  const folder = mkdtempSync(join(tmpdir(), 'phi2-disk-'))
  mount(folder, bytes)
  t.after(() => {
    unmount(folder)
    rmdirSync(folder)
  })
  return folder
}

function mount(folder: string, bytes: number): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
}

/** Lazily, so that a file left open by a failed test does not keep the mount. */
function unmount(folder: string): void {
  execFileSync('umount', ['-l', folder], { stdio: ['ignore', 'ignore', 'pipe'] })
}
