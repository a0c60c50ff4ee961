import assert from 'node:assert/strict'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { convert, quantize, readHeader } from '../../gguf/index.js'
import { Phi2 } from '../../src/phi2.js'
import { temporaryFolder, tinyCheckpoint } from '../helpers/model.js'
import { reexpressInOldNaming } from '../helpers/old-naming.js'
import { agreement, assertGreedy, assertLogits } from '../helpers/reference.js'
import { tensorBytes } from '../unit/gguf-fixture.js'

const checkpoint = tinyCheckpoint()
const skip = 'skip' in checkpoint && checkpoint.skip
const current = 'folder' in checkpoint ? checkpoint.folder : ''
const folder = temporaryFolder()
/** Named as the other, so that the files have the same `general.name`. */
const old = join(folder, 'hf')

before(async () => {
  if (skip) return
  await mkdir(old)
  await reexpressInOldNaming(current, old)
})

/** Greatest difference of a logit from the reference in F32, and the least share of likeliest tokens that are its own. */
const EXPECTED = {
  f32: { tolerance: 0.05, share: 1 },
  f16: { tolerance: 0.05, share: 1 },
  bf16: { tolerance: 0.1, share: 0.98 },
  q8_0: { tolerance: 0.4, share: 0.95 },
} as const

for (const outtype of ['f32', 'f16', 'bf16', 'q8_0'] as const) {
  for (const fuseQkv of [false, true]) {
    const form = fuseQkv ? 'fused' : 'separate'
    test(`${outtype}, ${form}: both namings give one file, and it gives the reference results`, { skip }, async () => {
      const paths = { current: join(folder, `${outtype}-current.gguf`), old: join(folder, `${outtype}-old.gguf`) }
      const result = await convert({ from: current, to: paths.current, outtype, fuseQkv, name: 'tiny' })
      await convert({ from: old, to: paths.old, outtype, fuseQkv, name: 'tiny' })
      assert.equal(result.tensors, fuseQkv ? 55 : 75)
      assert.ok((await readFile(paths.current)).equals(await readFile(paths.old)))

      await using phi2 = await Phi2.load({ model: paths.old, flashAttention: false, kvType: 'f32' })
      const { tolerance, share } = EXPECTED[outtype]
      await assertLogits(phi2, tolerance)
      if (share === 1) await assertGreedy(phi2)
      else {
        const { agreed, total } = await agreement(phi2)
        assert.ok(agreed / total >= share, `${agreed} of ${total} agree`)
      }
    })
  }
}

test('q8_0 holds the same bytes as llama.cpp’s quantizer makes of the F16 file', { skip }, async () => {
  const paths = { f16: join(folder, 'f16.gguf'), own: join(folder, 'own.gguf'), engine: join(folder, 'engine.gguf') }
  await convert({ from: current, to: paths.f16, outtype: 'f16' })
  await convert({ from: current, to: paths.own, outtype: 'q8_0' })
  await quantize({ from: paths.f16, to: paths.engine, type: 'q8_0' })
  const own = await readHeader(paths.own)
  const engine = await readHeader(paths.engine)
  // the quantizer sorts tensors and keys anew
  const byName = <T extends { name: string }>(list: readonly T[]) => list.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const described = (list: typeof own.tensors) => byName(list).map(({ name, type, shape }) => [name, type, shape])
  assert.deepEqual(described(own.tensors), described(engine.tensors))
  for (const { name } of own.tensors) {
    assert.deepEqual(await tensorBytes(paths.own, name), await tensorBytes(paths.engine, name), name)
  }
  assert.deepEqual(new Map(own.metadata), new Map(engine.metadata))
  assert.deepEqual(own.metadata.get('general.file_type'), { type: 'uint32', value: 7 })
  assert.deepEqual(own.metadata.get('general.quantization_version'), { type: 'uint32', value: 2 })
})
