import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { convert } from '../../gguf/index.js'
import { formatBytes } from '../../src/cli/output.js'
import { temporaryFolder, writeCheckpoint } from '../unit/gguf-fixture.js'
import { phi2 } from './run.js'

const SIZE = ['--layers', '2', '--embedding-size', '160', '--heads', '2', '--feed-forward', '320']

/** An empty folder to work in, and a small vocabulary elsewhere. */
async function workplace(t: TestContext): Promise<{ cwd: string; vocabulary: string }> {
  const folder = await temporaryFolder(t)
  await writeCheckpoint(folder)
  const vocabulary = join(folder, 'vocabulary.gguf')
  await convert({ from: folder, to: vocabulary })
  return { cwd: await temporaryFolder(t), vocabulary }
}

test('phi2 synth writes the file and says on one line what it is', async (t) => {
  const { cwd, vocabulary } = await workplace(t)
  const run = await phi2(['synth', ...SIZE, '--type', 'q4_k_m', '--vocabulary', vocabulary], { cwd })
  assert.deepEqual([run.code, run.stderr], [0, ''])
  const name = 'phi-2-random-2x160-q4_k_m.gguf'
  const { size } = await stat(join(cwd, name))
  assert.equal(run.stdout, `${name}: q4_k_m, 33 tensors, ${formatBytes(size)}\n`)
  assert.deepEqual(await readdir(cwd), [name])
})

test('a checkpoint of the same seed converts to the file that --seed wrote', async (t) => {
  const { cwd, vocabulary } = await workplace(t)
  const common = ['synth', ...SIZE, '--seed', '5', '--vocabulary', vocabulary, '--json']
  const file = await phi2([...common, '-o', 'x.gguf'], { cwd })
  assert.deepEqual([file.code, file.stderr], [0, ''])
  const { bytes, ...result } = JSON.parse(file.stdout)
  assert.deepEqual(result, { path: 'x.gguf', tensors: 33, parameters: 420504 })
  assert.equal(bytes, (await stat(join(cwd, 'x.gguf'))).size)

  const folder = await phi2([...common, '-o', 'hf', '--checkpoint', '--naming', 'remote-code'], { cwd })
  assert.deepEqual([folder.code, folder.stderr], [0, ''])
  assert.deepEqual(JSON.parse(folder.stdout).files, ['model.safetensors'])
  const to = join(cwd, 'converted.gguf')
  await convert({ from: join(cwd, 'hf'), to })
  const tail = async (path: string) => (await readFile(path)).subarray(-2 * 420504)
  assert.deepEqual(await tail(to), await tail(join(cwd, 'x.gguf')))
})

test('what is there already stays, unless --force is given', async (t) => {
  const { cwd, vocabulary } = await workplace(t)
  const common = ['synth', ...SIZE, '--vocabulary', vocabulary, '-o', 'x']
  await writeFile(join(cwd, 'x'), 'precious')
  const refused = await phi2(common, { cwd })
  assert.deepEqual([refused.code, refused.stdout], [1, ''])
  assert.match(refused.stderr, /x exists already\..*--force.*\(PHI2_IO\)/)
  assert.equal(await readFile(join(cwd, 'x'), 'utf8'), 'precious')
  assert.equal((await phi2([...common, '--force'], { cwd })).code, 0)
  assert.equal((await readFile(join(cwd, 'x'))).toString('latin1', 0, 4), 'GGUF')

  const checkpoint = ['synth', ...SIZE, '--vocabulary', vocabulary, '--checkpoint', '-o', 'hf']
  assert.equal((await phi2(checkpoint, { cwd })).code, 0)
  assert.match((await phi2(checkpoint, { cwd })).stderr, /hf exists already/)
  assert.equal((await phi2([...checkpoint, '--force'], { cwd })).code, 0)
  assert.deepEqual((await readdir(cwd)).sort(), ['hf', 'x'])
})

test('an interrupt leaves nothing behind, also where npm passes it on a second time', async (t) => {
  const { cwd } = await workplace(t)
  const run = await phi2(['synth', '--checkpoint', '-o', 'hf'], {
    cwd,
    // full size: 5.6 GB are not written before the signal comes
    onSpawn: async (child) => {
      while (child.exitCode === null && (await readdir(cwd)).length === 0)
        await new Promise((wait) => setTimeout(wait, 20))
      child.kill('SIGINT')
      // Of two that are pending at the same time a process hears one.
      setTimeout(() => child.kill('SIGINT'), 2)
      await once(child, 'exit')
    },
  })
  assert.deepEqual([run.code, run.stdout], [130, ''])
  assert.deepEqual(await readdir(cwd), [])
})

test('wrong use ends with 2, and says what to do', async (t) => {
  const cwd = await temporaryFolder(t)
  for (const [args, message] of [
    [['x.gguf'], /takes no argument, found x\.gguf.*--output FILE/],
    [['--type', 'q9'], /--type: expected one of f32, f16/],
    [['--checkpoint', '--type', 'q8_0'], /A checkpoint has the type f32, f16, bf16/],
    [['--naming', 'current'], /give --checkpoint as well/],
    [['--layers', '0'], /Expected an integer from 1 to 512 for layers/],
    [['--embedding-size', '320', '--heads', '7'], /embeddingSize \/ heads/],
  ] as const) {
    const run = await phi2(['synth', ...args], { cwd })
    assert.deepEqual([run.code, run.stdout], [2, ''], args.join(' '))
    assert.match(run.stderr, message)
  }
  assert.deepEqual(await readdir(cwd), [])
})
