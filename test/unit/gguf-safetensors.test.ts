import assert from 'node:assert/strict'
import { mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { openSafetensors, readTensor } from '../../gguf/safetensors.js'
import { Phi2Error } from '../../src/errors.js'
import {
  encode,
  readJson,
  smallTensors,
  temporaryFolder,
  writeCheckpoint,
  writeJson,
  writeSafetensors,
} from './gguf-fixture.js'

async function isInvalid(promise: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof Phi2Error)
    assert.equal(error.code, 'PHI2_INVALID_CHECKPOINT')
    assert.match(error.message, message)
    return true
  })
}

async function folderWith(t: TestContext, header: unknown, data = new Uint8Array(16)): Promise<string> {
  const folder = await temporaryFolder(t)
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  await writeFile(join(folder, 'model.safetensors'), Buffer.concat([length, text, data]))
  return folder
}

for (const shards of [1, 2] as const) {
  test(`every tensor of ${shards} file(s) comes back with its type, shape and bytes`, async (t) => {
    const folder = await temporaryFolder(t)
    await writeCheckpoint(folder, { dtype: 'BF16', shards })
    const found = await openSafetensors(folder)
    const expected = smallTensors('BF16')
    assert.deepEqual([...found.keys()], [...expected.keys()])
    for (const [name, { dtype, shape, values }] of expected) {
      const tensor = found.get(name)!
      assert.equal(tensor.dtype, dtype)
      assert.deepEqual(tensor.shape, shape)
      const pieces: Uint8Array[] = []
      for await (const piece of readTensor(tensor)) pieces.push(Uint8Array.from(piece))
      assert.deepEqual(new Uint8Array(Buffer.concat(pieces)), encode(values, dtype))
    }
  })
}

test('a tensor larger than one piece is read completely and in order', async (t) => {
  const folder = await temporaryFolder(t)
  const values = Float32Array.from({ length: 2_500_000 }, (_, i) => i)
  await writeSafetensors(
    join(folder, 'model.safetensors'),
    new Map([['x', { dtype: 'F32', shape: [2_500_000], values }]]),
  )
  const tensor = (await openSafetensors(folder)).get('x')!
  let index = 0
  let pieces = 0
  for await (const piece of readTensor(tensor)) {
    pieces++
    for (const value of new Float32Array(piece.buffer, piece.byteOffset, piece.length / 4)) {
      if (value !== index++) assert.fail(`value ${index - 1} is ${value}`)
    }
  }
  assert.equal(index, 2_500_000)
  assert.ok(pieces > 1)
})

test('a folder without safetensors says what is expected', async (t) => {
  await isInvalid(
    openSafetensors(await temporaryFolder(t)),
    /neither model.safetensors nor .*saved as safetensors first/,
  )
})

test('a folder in the place of the weights cannot be read', async (t) => {
  const folder = await temporaryFolder(t)
  await mkdir(join(folder, 'model.safetensors'))
  await isInvalid(openSafetensors(folder), /model\.safetensors cannot be read: EISDIR/)
})

test('a shard that is missing, or does not hold what the index says, is named', async (t) => {
  const folder = await temporaryFolder(t)
  await writeCheckpoint(folder, { shards: 2 })
  const indexPath = join(folder, 'model.safetensors.index.json')
  const index = (await readJson(indexPath)) as { weight_map: Record<string, string> }
  const weight_map = { ...index.weight_map, 'lm_head.bias': 'model-00001-of-00002.safetensors' }
  await writeJson(indexPath, { weight_map })
  await isInvalid(
    openSafetensors(folder),
    /places lm_head.bias in model-00001-of-00002.safetensors, which does not hold it/,
  )
  await rm(join(folder, 'model-00002-of-00002.safetensors'))
  await isInvalid(openSafetensors(folder), /model-00002-of-00002.safetensors, named by .*, is missing/)
  await writeJson(indexPath, {})
  await isInvalid(openSafetensors(folder), /no weight_map/)
})

test('an index cannot name files outside its folder', async (t) => {
  const folder = await temporaryFolder(t)
  for (const shard of ['../model.safetensors', '/etc/passwd', 'a/b.safetensors', 'a\\b.safetensors', '', 7]) {
    await writeJson(join(folder, 'model.safetensors.index.json'), { weight_map: { x: shard } })
    await isInvalid(openSafetensors(folder), /expected a plain file name/)
  }
})

test('headers that lie about sizes, shapes or offsets are refused', async (t) => {
  const good = { dtype: 'F32', shape: [2, 2], data_offsets: [0, 16] }
  const cases: [unknown, RegExp][] = [
    [{ x: { ...good, data_offsets: [0, 32] } }, /takes 32 bytes; F32 of shape 2×2 takes 16/],
    [{ x: { ...good, data_offsets: [8, 24] } }, /not downloaded completely/],
    [{ x: { ...good, data_offsets: [16, 0] } }, /no data_offsets/],
    [{ x: { ...good, data_offsets: [-16, 0] } }, /no data_offsets/],
    [{ x: { ...good, shape: [2 ** 53, 2 ** 53] } }, /no dtype and shape|takes/],
    [{ x: { ...good, shape: '2' } }, /no dtype and shape/],
    [{ x: null }, /no dtype and shape/],
    [[], /must hold a JSON object/],
    ['{"x":', /not valid JSON/],
  ]
  for (const [header, message] of cases) await isInvalid(openSafetensors(await folderWith(t, header)), message)
})

test('a header length beyond the file is refused without reading it', async (t) => {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'model.safetensors')
  await writeFile(path, Buffer.from('ffffffffffffff7f7b7d', 'hex'))
  await isInvalid(openSafetensors(folder), /claims a header/)
  await truncate(path, 5)
  await isInvalid(openSafetensors(folder), /only 5 bytes/)
})

test('mutated headers are read or refused, never more', async (t) => {
  const folder = await temporaryFolder(t)
  await writeSafetensors(
    join(folder, 'model.safetensors'),
    new Map([
      ['x', { dtype: 'F16', shape: [3], values: new Float32Array(3) }],
      ['y', { dtype: 'F32', shape: [2, 2], values: new Float32Array(4) }],
    ]),
  )
  const path = join(folder, 'model.safetensors')
  const original = await readFile(path)
  const mutation = fc.record({ at: fc.nat(original.length - 1), value: fc.nat(255) })
  await fc.assert(
    fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 4 }), async (mutations) => {
      const mutated = Buffer.from(original)
      for (const { at, value } of mutations) mutated[at] = value
      await writeFile(path, mutated)
      await openSafetensors(folder).catch((error) => {
        if (!(error instanceof Phi2Error) || error.code !== 'PHI2_INVALID_CHECKPOINT') throw error
      })
    }),
    { numRuns: 1500, seed: 3 },
  )
})
