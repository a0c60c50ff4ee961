/**
 * Builds the addon for scripts/gpu-check.sh from the sources that were carried along.
 *
 * Usage: build FOLDER [--cuda]
 */
import { join } from 'node:path'
import { compileAddon } from '../../src/builder/compile.js'
import { say, WORK } from './setup.js'

const [folder, cuda] = process.argv.slice(2)
let said = 0
say(
  `built ${await compileAddon({
    folder: folder!,
    sources: join(WORK, 'sources'),
    cuda: cuda === '--cuda',
    onProgress({ detail, step }) {
      if (Date.now() - said < 10_000) return
      said = Date.now()
      say(`${step} ${detail}`)
    },
  })}`,
)
