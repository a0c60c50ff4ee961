import assert from 'node:assert/strict'
import { mkdtemp, rm, stat, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Inspection } from '../../gguf/index.js'
import { soundModel } from '../native/gguf-variants.js'
import { phi2 } from './run.js'

let folder = ''
let model = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'phi2 inspect '))
  model = join(folder, 'model.gguf')
  await soundModel().remove('tokenizer.ggml.pre').write(model)
})
after(() => rm(folder, { recursive: true }))

test('a file is summed up for people, warnings included, and the run succeeds', async () => {
  const run = await phi2(['inspect', model])
  assert.deepEqual([run.code, run.stderr], [0, ''])
  assert.match(run.stdout, /^architecture +phi2$/m)
  assert.match(run.stdout, /^KV cache \(f16\) .* bytes a token$/m)
  assert.match(run.stdout, /^50 GB\/s .* tok\/s .*laptop/m)
  assert.match(run.stdout, /^warning +It does not name its pre-tokenizer/m)
  assert.doesNotMatch(run.stdout, /blk\.0|tokenizer\.ggml\.tokens/)
})

test('--keys and --tensors list them, --context-size changes the estimate', async () => {
  const run = await phi2(['inspect', '--keys', '--tensors', '--context-size', '1000', model])
  assert.equal(run.code, 0, run.stderr)
  assert.match(run.stdout, /^tokenizer\.ggml\.tokens +string\[14\] +"a", "b"/m)
  assert.match(run.stdout, /^blk\.0\.ffn_up\.weight +f32 +256×256 +262,144/m)
  assert.match(run.stdout, /^memory for 1,000 tokens/m)
})

test('--json is one object for programs; with --keys arrays are whole', async () => {
  const found = async (...flags: string[]) => JSON.parse((await phi2(['inspect', '--json', ...flags, model])).stdout)
  const short: Inspection = await found()
  assert.equal(short.file.source, model)
  assert.equal(short.warnings[0]?.code, 'head-size')
  const tokens = ({ keys }: Inspection) => keys.find(({ key }) => key === 'tokenizer.ggml.tokens')!.value as string[]
  assert.deepEqual([tokens(short).length, tokens(await found('--keys')).length], [8, 14])
})

test('an incomplete file is described and ends with 1; one that is no GGUF file is an error', async () => {
  const cut = join(folder, 'cut.gguf')
  await soundModel().write(cut)
  await truncate(cut, (await stat(cut)).size - 5000)
  const run = await phi2(['inspect', cut])
  assert.deepEqual([run.code, run.stderr], [1, ''])
  assert.match(run.stdout, /^warning +The file has [\d,]+ of [\d,]+ bytes: [\d,]+ are missing\./m)
  await truncate(cut, 100)
  const broken = await phi2(['inspect', cut])
  assert.deepEqual([broken.code, broken.stdout], [1, ''])
  assert.match(broken.stderr, /not a valid GGUF file.*\(PHI2_INVALID_GGUF\)\n$/)
})

test('no file or two of them is wrong usage', async () => {
  for (const words of [[], [model, model]]) {
    const run = await phi2(['inspect', ...words])
    assert.deepEqual([run.code, run.stdout], [2, ''])
    assert.match(run.stderr, /needs a GGUF file|takes one file/)
  }
  assert.equal((await phi2(['inspect', '--context-size', '0', model])).code, 2)
})
