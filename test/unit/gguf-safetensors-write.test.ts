import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { openSafetensors, readTensor } from '../../gguf/safetensors.js'
import { type SafetensorsSource, writeSafetensors, writeShards } from '../../gguf/safetensors-write.js'
import { temporaryFolder } from './gguf-fixture.js'

function source(
  name: string,
  dtype: string,
  shape: number[],
  bytes: number[],
  split = bytes.length,
): SafetensorsSource {
  return {
    name,
    dtype,
    shape,
    data: () => [Uint8Array.from(bytes.slice(0, split)), Uint8Array.from(bytes.slice(split))],
  }
}

test('what is written comes back: widest types first, then by name, data on a multiple of eight', async (t) => {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'model.safetensors')
  const tensors = [
    source('b', 'BF16', [2], [1, 2, 3, 4], 2),
    source('a', 'F16', [1, 1], [5, 6]),
    source('c', 'F32', [1], [7, 8, 9, 10], 1),
    source('empty', 'F16', [0, 3], []),
  ]
  const fractions: number[] = []
  const size = await writeSafetensors(path, { tensors, onProgress: (fraction) => fractions.push(fraction) })
  const bytes = await readFile(path)
  assert.equal(bytes.length, size)
  assert.deepEqual([...bytes.subarray(size - 10)], [7, 8, 9, 10, 5, 6, 1, 2, 3, 4])
  assert.equal((size - 10) % 8, 0)
  assert.equal(fractions.at(-1), 1)

  const found = await openSafetensors(folder)
  assert.deepEqual([...found.keys()], ['c', 'a', 'b', 'empty'])
  assert.deepEqual([found.get('b')?.dtype, found.get('a')?.shape], ['BF16', [1, 1]])
  const pieces: number[] = []
  for await (const piece of readTensor(found.get('b')!)) pieces.push(...piece)
  assert.deepEqual(pieces, [1, 2, 3, 4])
})

test('a tensor larger than a shard has a file of its own', async (t) => {
  const folder = await temporaryFolder(t)
  const tensors = [
    source('a', 'F16', [1], [1, 2]),
    source('large', 'F32', [2], [1, 2, 3, 4, 5, 6, 7, 8]),
    source('c', 'F16', [1], [3, 4]),
    source('d', 'F16', [1], [5, 6]),
  ]
  const { files } = await writeShards(folder, { tensors, shardBytes: 4 })
  assert.deepEqual(
    files,
    [1, 2, 3].map((n) => `model-0000${n}-of-00003.safetensors`),
  )
  const places = [...(await openSafetensors(folder)).values()].map(({ name, path }) => [name, basename(path)])
  assert.deepEqual(Object.fromEntries(places), {
    a: 'model-00001-of-00003.safetensors',
    large: 'model-00002-of-00003.safetensors',
    c: 'model-00003-of-00003.safetensors',
    d: 'model-00003-of-00003.safetensors',
  })
})

test('wrong tensors, a failure and an abort leave nothing under the name', async (t) => {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'model.safetensors')
  const fails = (tensors: SafetensorsSource[], message: RegExp) =>
    assert.rejects(writeSafetensors(path, { tensors }), { code: 'PHI2_INVALID_CHECKPOINT', message })
  await fails([source('a', 'F16', [2], [1, 2])], /a takes 4 bytes, its data gives only 2/)
  await fails([source('a', 'F16', [1], [1, 2, 3, 4], 2)], /a takes 2 bytes, its data gives more/)
  await fails([source('a', 'F16', [1], [1, 2]), source('a', 'F16', [1], [1, 2])], /a occurs twice/)
  await fails([source('a', 'Q8', [1], [1])], /type Q8; expected one of F64/)
  const broken: SafetensorsSource = {
    ...source('a', 'F16', [1], []),
    data: () => {
      throw new Error('no data')
    },
  }
  await assert.rejects(writeSafetensors(path, { tensors: [broken] }), /no data/)
  const signal = AbortSignal.abort(new Error('enough'))
  await assert.rejects(writeSafetensors(path, { tensors: [source('a', 'F16', [1], [1, 2])], signal }), /enough/)
  assert.deepEqual(await readdir(folder), [])
})
