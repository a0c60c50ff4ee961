import assert from 'node:assert/strict'
import { test } from 'node:test'
import { f32ToQ8 } from '../../gguf/q8.js'

const BLOCK = 32

/** Encodes one block that begins with these values, the rest being 0. */
function encode(...values: number[]) {
  const source = new Float32Array(BLOCK)
  source.set(values)
  const target = new Uint8Array(34)
  const lost = f32ToQ8(source, target)
  const scaleBits = target[0]! | (target[1]! << 8)
  return { lost, scaleBits, quants: [...new Int8Array(target.buffer, 2, values.length)] }
}

test('the largest magnitude is 127 steps, whatever its sign', () => {
  assert.deepEqual(encode(127, 1, -127), { lost: 0, scaleBits: 0x3c00, quants: [127, 1, -127] })
  assert.deepEqual(encode(-254, 2), { lost: 0, scaleBits: 0x4000, quants: [-127, 1] })
})

test('halves are rounded away from zero', () => {
  assert.deepEqual(encode(127, 0.5, -0.5, 1.5, -2.5, 0.49, -0.49).quants, [127, 1, -1, 2, -3, 0, 0])
})

test('a block of zeros is all zeros, and blocks do not touch each other', () => {
  assert.deepEqual(encode(0, -0), { lost: 0, scaleBits: 0, quants: [0, 0] })
  const source = new Float32Array(3 * BLOCK)
  source[BLOCK] = 127
  const target = new Uint8Array(3 * 34).fill(0xff)
  assert.equal(f32ToQ8(source, target), 0)
  const expected = new Uint8Array(3 * 34)
  expected.set([0x00, 0x3c, 127], 34)
  assert.deepEqual(target, expected)
})

test('what cannot be stored is counted by its block', () => {
  assert.equal(encode(1, Number.NaN).lost, BLOCK)
  assert.equal(encode(Number.POSITIVE_INFINITY).lost, BLOCK)
  assert.equal(encode(1, Number.NEGATIVE_INFINITY).lost, BLOCK)
  assert.equal(encode(127 * 65504).lost, 0)
  assert.equal(encode(127 * 65536).lost, BLOCK)
})
