import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { temporaryFolder, writeCheckpoint } from '../unit/gguf-fixture.js'
import { phi2 } from './run.js'

async function checkpoint(t: TestContext): Promise<{ from: string; folder: string }> {
  const folder = await temporaryFolder(t)
  const from = join(folder, 'small')
  await mkdir(from)
  await writeCheckpoint(from)
  return { from, folder }
}

test('phi2 convert writes the file and says on one line what it is', async (t) => {
  const { from, folder } = await checkpoint(t)
  const to = join(folder, 'x.gguf')
  const run = await phi2(['convert', from, '-o', to, '--fuse-qkv', '--verify'])
  assert.deepEqual([run.code, run.stderr], [0, ''])
  assert.equal(run.stdout, `${to}: f16, 25 tensors, 1.3 MB\n`)
  assert.deepEqual((await readdir(folder)).sort(), ['small', 'x.gguf'])
})

test('without --output the name is that of the folder and of the type, in the current folder', async (t) => {
  const { from, folder } = await checkpoint(t)
  const run = await phi2(['convert', 'small', '--outtype', 'q8_0', '--json', '--name', 'Mine', '--license', 'mit'], {
    cwd: folder,
  })
  assert.deepEqual([run.code, run.stderr], [0, ''])
  const { bytes, ...result } = JSON.parse(run.stdout)
  assert.deepEqual(result, { path: 'small-q8_0.gguf', outtype: 'q8_0', tensors: 33, parameters: 625944 })
  const file = await readFile(join(folder, 'small-q8_0.gguf'))
  assert.equal(file.length, bytes)
  assert.ok(file.includes('Mine') && file.includes('general.license'))
  assert.ok((await readdir(from)).includes('config.json'))
})

test('a file that is there already stays, unless --force is given', async (t) => {
  const { from, folder } = await checkpoint(t)
  const to = join(folder, 'x.gguf')
  await writeFile(to, 'precious')
  const refused = await phi2(['convert', from, '-o', to])
  assert.deepEqual([refused.code, refused.stdout], [1, ''])
  assert.match(refused.stderr, /x\.gguf exists already\..*--force.*\(PHI2_IO\)/)
  assert.equal(await readFile(to, 'utf8'), 'precious')
  const forced = await phi2(['convert', from, '-o', to, '--force'])
  assert.equal(forced.code, 0)
  assert.equal((await readFile(to)).toString('latin1', 0, 4), 'GGUF')
})

test('wrong use ends with 2, a folder that is no checkpoint with 1', async (t) => {
  const folder = await temporaryFolder(t)
  for (const [args, code, message] of [
    [[], 2, /needs the folder of a checkpoint/],
    [['a', 'b'], 2, /takes one folder, found b/],
    [['a', '--outtype', 'q4_k_m'], 2, /--outtype: expected one of auto, f32/],
    [[folder], 1, /no config\.json.*PHI2_INVALID_CHECKPOINT/],
  ] as const) {
    const run = await phi2(['convert', ...args])
    assert.deepEqual([run.code, run.stdout], [code, ''])
    assert.match(run.stderr, message)
  }
})
