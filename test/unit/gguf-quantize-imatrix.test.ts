import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GgufTensorInfo } from '../../gguf/format.js'
import type { Imatrix } from '../../gguf/imatrix-file.js'
import { columnWeights, imatrixKeys } from '../../gguf/quantize-imatrix.js'

function matrix(name: string, rowLength: number): GgufTensorInfo {
  return { name, type: 'f16', shape: [rowLength, 3], offset: 0, byteLength: rowLength * 6 }
}

function imatrix(...names: string[]): Imatrix {
  const entries = names.map((name, index) => {
    return [name, { sums: Float32Array.of(2 * index, 4), counts: Float32Array.of(2) }] as const
  })
  return { datasets: ['text.txt'], chunkCount: 1, chunkSize: 512, entries: new Map(entries) }
}

test('each matrix gets the mean squares of its own columns; embeddings and vectors need none', () => {
  const tensors = [matrix('token_embd.weight', 2), matrix('blk.0.ffn_up.weight', 2), matrix('output.weight', 2)]
  tensors.push({ ...matrix('blk.0.ffn_up.bias', 2), shape: [3] })
  const weights = columnWeights('i.gguf', imatrix('output.weight', 'blk.0.ffn_up.weight'), tensors)
  assert.deepEqual(
    weights.map(({ name, values }) => [name, ...values]),
    [
      ['blk.0.ffn_up.weight', 1, 2],
      ['output.weight', 0, 2],
    ],
  )
})

test('q, k and v share what was seen of their common input, whether they are one matrix or three', () => {
  const three = ['q', 'k', 'v'].map((part) => `blk.4.attn_${part}.weight`)
  const one = 'blk.4.attn_qkv.weight'
  const fromThree = columnWeights('i.gguf', imatrix(...three), [matrix(one, 2)])
  assert.deepEqual(fromThree, [{ name: one, values: Float32Array.of(0, 2) }])
  const fromOne = columnWeights(
    'i.gguf',
    imatrix(one),
    three.map((name) => matrix(name, 2)),
  )
  assert.deepEqual(
    fromOne.map(({ name }) => name),
    three,
  )
  const other = matrix('blk.5.attn_q.weight', 2)
  assert.throws(() => columnWeights('i.gguf', imatrix(one), [matrix(one, 2), other]), {
    code: 'PHI2_INVALID_IMATRIX',
    message: /says nothing of blk\.5\.attn_q\.weight/,
  })
})

test('texts too long for the engine are cut between characters', () => {
  const textOf = (path: string) => imatrixKeys(path, imatrix('a'))[0]!.value
  assert.equal(textOf('x'.repeat(127)), 'x'.repeat(127))
  assert.equal(textOf('x'.repeat(128)), 'x'.repeat(127))
  assert.equal(textOf('é'.repeat(64)), 'é'.repeat(63))
  assert.equal(textOf(`x${'é'.repeat(63)}`), `x${'é'.repeat(63)}`)
  assert.equal(textOf('🙂'.repeat(40)), '🙂'.repeat(31))
})
