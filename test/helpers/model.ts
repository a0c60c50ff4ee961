import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import './empty-cache.js'
import { packageRoot } from '../../src/package-root.js'
import { Phi2 } from '../../src/phi2.js'
import type { LoadOptions } from '../../src/types.js'

/** The embedded model, closed when the test file is done. */
export async function loadTiny(options: LoadOptions = {}): Promise<Phi2> {
  const phi2 = await Phi2.load({ model: 'tiny', ...options })
  after(() => phi2.close())
  return phi2
}

/** A folder of its own, removed when the test file is done. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'phi2-test-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** The trained checkpoint that the embedded model was converted from, where it is at hand: it is not in the repository. */
export function tinyCheckpoint(): { folder: string } | { skip: string } {
  const folder = process.env.PHI2_TINY_HF ?? join(packageRoot(), '..', 'shared', 'phi-2-tiny', 'hf')
  return existsSync(join(folder, 'config.json')) ? { folder } : { skip: `no checkpoint at ${folder}; set PHI2_TINY_HF` }
}
