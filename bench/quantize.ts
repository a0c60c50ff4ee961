/**
 * Quantized files side by side with those of llama.cpp's own tool, built from the pinned sources: are they the same to the
 * byte? An F16 model with random weights serves, or a file of yours. Types that need an importance matrix get one that
 * `computeImatrix` makes.
 *
 * Run: npx tsx bench/quantize.ts [F16.gguf]
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { computeImatrix, FILE_TYPES, QUANTIZE_TYPES, quantize, synth } from '../gguf/index.js'
import { packageRoot } from '../src/package-root.js'
import { buildEngineTools } from './engine-tools.js'

/** Wide enough that every row fills the large blocks, deep enough for the mixtures to differ by layer. */
const SMALL = { layers: 16, embeddingSize: 256, heads: 2 }
const TEXT = readFileSync(join(packageRoot(), 'test', 'fixtures', 'evaluation.txt'), 'utf8')

async function main(given: string | undefined): Promise<void> {
  const tool = join(await buildEngineTools(['llama-quantize']), 'llama-quantize')
  const folder = await mkdtemp(join(tmpdir(), 'phi2-bench-'))
  try {
    const from = given ?? (await synth({ ...SMALL, to: join(folder, 'f16.gguf'), type: 'f16' })).path
    const imatrix = join(folder, 'imatrix.gguf')
    await computeImatrix({ model: from, text: TEXT, to: imatrix, chunks: 4 })
    let differing = 0
    for (const type of QUANTIZE_TYPES.filter((name) => name !== 'f16')) {
      const needsImatrix = FILE_TYPES[type].imatrix === 'required'
      const theirs = join(folder, 'theirs.gguf')
      const ours = join(folder, 'ours.gguf')
      await promisify(execFile)(tool, [...(needsImatrix ? ['--imatrix', imatrix] : []), from, theirs, type])
      await quantize({ from, to: ours, type, imatrix: needsImatrix ? imatrix : undefined })
      const same = (await digest(theirs)) === (await digest(ours))
      if (!same) differing++
      console.log(`${type.padEnd(8)} ${needsImatrix ? 'with imatrix ' : ''}${same ? 'identical' : 'DIFFERENT'}`)
    }
    console.log(differing === 0 ? 'PASS: all files are identical.' : `FAIL: ${differing} types differ.`)
    process.exitCode = differing === 0 ? 0 : 1
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function digest(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

await main(process.argv[2])
