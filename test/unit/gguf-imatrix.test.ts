import assert from 'node:assert/strict'
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Imatrix, meanSquares, readImatrix, writeImatrix } from '../../gguf/imatrix-file.js'
import { readHeader, writeGguf } from '../../gguf/index.js'
import { temporaryFolder } from './gguf-fixture.js'

const SMALL: Imatrix = {
  datasets: ['wiki.txt', 'code.txt'],
  chunkCount: 3,
  chunkSize: 512,
  entries: new Map([
    ['blk.0.ffn_up.weight', { sums: Float32Array.of(1, 2, 3), counts: Float32Array.of(1536) }],
    ['blk.0.attn_q.weight', { sums: Float32Array.of(0, 8), counts: Float32Array.of(2) }],
  ]),
}

async function pathIn(t: TestContext): Promise<string> {
  return join(await temporaryFolder(t), 'imatrix.gguf')
}

/** The `.dat` form, written down once more from llama.cpp's reader. */
function legacy(entries: [name: string, calls: number, values: number[]][], end?: [chunks: number, dataset: string]) {
  const int = (value: number) => {
    const bytes = Buffer.alloc(4)
    bytes.writeInt32LE(value)
    return bytes
  }
  const parts = [int(entries.length)]
  for (const [name, calls, values] of entries) {
    const numbers = Buffer.from(Float32Array.from(values).buffer)
    parts.push(int(Buffer.byteLength(name)), Buffer.from(name), int(calls), int(values.length), numbers)
  }
  if (end) parts.push(int(end[0]), int(Buffer.byteLength(end[1])), Buffer.from(end[1]))
  return Buffer.concat(parts)
}

test('an importance matrix that was written is read back', async (t) => {
  const path = await pathIn(t)
  const bytes = await writeImatrix(path, SMALL)
  assert.equal(bytes, (await readFile(path)).length)
  assert.deepEqual(await readImatrix(path), SMALL)
})

test('it has llama.cpp’s keys and tensors, in the order of the names', async (t) => {
  const path = await pathIn(t)
  await writeImatrix(path, SMALL)
  const { metadata, tensors } = await readHeader(path)
  assert.deepEqual(
    [...metadata],
    [
      ['general.type', { type: 'string', value: 'imatrix' }],
      ['imatrix.datasets', { type: 'array', of: 'string', value: ['wiki.txt', 'code.txt'] }],
      ['imatrix.chunk_count', { type: 'uint32', value: 3 }],
      ['imatrix.chunk_size', { type: 'uint32', value: 512 }],
    ],
  )
  assert.deepEqual(
    tensors.map(({ name, type, shape }) => [name, type, shape]),
    [
      ['blk.0.attn_q.weight.in_sum2', 'f32', [2]],
      ['blk.0.attn_q.weight.counts', 'f32', [1]],
      ['blk.0.ffn_up.weight.in_sum2', 'f32', [3]],
      ['blk.0.ffn_up.weight.counts', 'f32', [1]],
    ],
  )
})

test('several matrices under one name keep their own counts', async (t) => {
  const path = await pathIn(t)
  const entry = { sums: Float32Array.of(2, 4, 9, 9), counts: Float32Array.of(2, 0) }
  await writeImatrix(path, { ...SMALL, entries: new Map([['experts', entry]]) })
  const read = (await readImatrix(path)).entries.get('experts')!
  assert.deepEqual(read, entry)
  // nothing was seen of the second: all its columns count alike
  assert.deepEqual([...meanSquares(read)], [1, 2, 1, 1])
})

test('the older binary form is read, with and without its later end', async (t) => {
  const path = await pathIn(t)
  const entries: Parameters<typeof legacy>[0] = [
    ['blk.0.ffn_up.weight', 4, [4, 8, 0]],
    ['blk.1.ffn_up.weight', 0, [5]],
  ]
  await writeFile(path, legacy(entries))
  const bare = await readImatrix(path)
  assert.deepEqual([bare.datasets, bare.chunkCount, bare.chunkSize], [[], 0, 0])
  assert.deepEqual([...meanSquares(bare.entries.get('blk.0.ffn_up.weight')!)], [1, 2, 0])
  assert.deepEqual([...meanSquares(bare.entries.get('blk.1.ffn_up.weight')!)], [5])
  await writeFile(path, legacy(entries, [7, 'wörter.txt']))
  const whole = await readImatrix(path)
  assert.deepEqual([whole.datasets, whole.chunkCount], [['wörter.txt'], 7])
})

test('what is no importance matrix, or a damaged one, is refused with the reason', async (t) => {
  const path = await pathIn(t)
  const refused = async (message: RegExp) =>
    assert.rejects(readImatrix(path), (error: Error & { code?: string }) => {
      assert.match(error.message, message)
      return error.code === 'PHI2_INVALID_IMATRIX'
    })
  await refused(/There is no file/)
  await mkdir(path)
  await refused(/is no regular file/)
  await rmdir(path)
  for (const junk of ['', 'x', 'GGUF', 'just some text that is long enough', '\0'.repeat(100)]) {
    await writeFile(path, junk)
    await refused(/no importance matrix/)
  }
  await writeGguf(path, {
    metadata: new Map(),
    tensors: [{ name: 'a', type: 'f32', shape: [1], data: () => [new Uint8Array(4)] }],
  })
  await refused(/another GGUF file/)

  const withEntry = (sums: number[], counts: number[]) =>
    writeImatrix(path, {
      ...SMALL,
      entries: new Map([['a', { sums: Float32Array.from(sums), counts: Float32Array.from(counts) }]]),
    })
  await withEntry([1, Number.NaN], [1])
  await refused(/a has the sum NaN/)
  await withEntry([Number.POSITIVE_INFINITY], [1])
  await refused(/a has the sum Infinity/)
  await withEntry([-1], [1])
  await refused(/a has the sum -1/)
  await withEntry([1e30], [1])
  await refused(/a has the sum 1/)
  await withEntry([1], [Number.NaN])
  await refused(/a has the count NaN/)

  const whole = legacy([['blk.0.ffn_up.weight', 4, [4, 8]]], [1, 'x'])
  for (let length = 0; length < whole.length; length++) {
    await writeFile(path, whole.subarray(0, length))
    // cut off where its later end begins it is a whole one of the first kind
    if (length === whole.length - 9 || length === whole.length - 5) await readImatrix(path)
    else await refused(/no importance matrix/)
  }
  await writeFile(
    path,
    legacy([
      ['a', 1, [1]],
      ['a', 1, [1]],
    ]),
  )
  await refused(/"a" occurs twice/)
})
