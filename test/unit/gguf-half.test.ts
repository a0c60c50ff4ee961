import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../../gguf/half.js'

const ALL = Uint16Array.from({ length: 65536 }, (_, bits) => bits)

/** IEEE 754 binary16, by its definition. */
function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

function toF16(values: number[]): number[] {
  const halves = new Uint16Array(values.length)
  f32ToF16(Float32Array.from(values), halves)
  return [...halves]
}

function toBf16(values: number[]): number[] {
  const halves = new Uint16Array(values.length)
  f32ToBf16(Float32Array.from(values), halves)
  return [...halves]
}

test('every F16 number widens to its IEEE value', () => {
  const floats = new Float32Array(65536)
  f16ToF32(ALL, floats)
  for (const bits of ALL) assert.ok(Object.is(floats[bits], halfValue(bits)), `0x${bits.toString(16)}`)
})

test('every F16 number survives the way to F32 and back, NaN as NaN', () => {
  const floats = new Float32Array(65536)
  const halves = new Uint16Array(65536)
  f16ToF32(ALL, floats)
  assert.equal(f32ToF16(floats, halves), 0)
  for (const bits of ALL) {
    if (Number.isNaN(halfValue(bits))) assert.ok(Number.isNaN(halfValue(halves[bits]!)), `0x${bits.toString(16)}`)
    else assert.equal(halves[bits], bits)
  }
})

test('every BF16 number survives the way to F32 and back, NaN as NaN', () => {
  const floats = new Float32Array(65536)
  const halves = new Uint16Array(65536)
  bf16ToF32(ALL, floats)
  assert.equal(f32ToBf16(floats, halves), 0)
  const bits = new Uint32Array(floats.buffer)
  for (const half of ALL) {
    assert.equal(bits[half]! >>> 16, half)
    if (Number.isNaN(floats[half])) assert.ok((halves[half]! & 0x7fff) > 0x7f80)
    else assert.equal(halves[half], half)
  }
})

test('between any two neighbouring F16 numbers, F32 rounds to the nearer one and ties to even', () => {
  const expected: number[] = []
  const values: number[] = []
  for (let low = 0; low < 0x7bff; low++) {
    const [a, b] = [halfValue(low), halfValue(low + 1)]
    const middle = (a + b) / 2
    const step = (b - a) / 64
    values.push(middle, middle - step, middle + step, -middle)
    const even = low % 2 === 0 ? low : low + 1
    expected.push(even, low, low + 1, even | 0x8000)
  }
  assert.deepEqual(toF16(values), expected)
})

test('between any two neighbouring BF16 numbers, F32 rounds to the nearer one and ties to even', () => {
  const floats = new Float32Array(1)
  const bits = new Uint32Array(floats.buffer)
  const words: number[] = []
  const expected: number[] = []
  for (let low = 0; low < 0x7f7f; low++) {
    words.push(low * 65536 + 0x8000, low * 65536 + 0x7fff, low * 65536 + 0x8001)
    expected.push(low % 2 === 0 ? low : low + 1, low, low + 1)
  }
  const values = words.map((word) => {
    bits[0] = word
    return floats[0]!
  })
  assert.deepEqual(toBf16(values), expected)
})

test('numbers too small for F16 become signed zeros or the smallest subnormal', () => {
  assert.deepEqual(toF16([2 ** -24, 2 ** -25, 2 ** -25 * 1.0001, 2 ** -149, -(2 ** -26)]), [1, 0, 1, 0, 0x8000])
})

test('finite numbers too large for a type become infinite and are counted, infinities are not', () => {
  const halves = new Uint16Array(5)
  const overflows = f32ToF16(Float32Array.from([65504, 65519.99, 65520, -1e30, Number.POSITIVE_INFINITY]), halves)
  assert.deepEqual([...halves], [0x7bff, 0x7bff, 0x7c00, 0xfc00, 0x7c00])
  assert.equal(overflows, 2)
  const largest = Float32Array.from([3.4028234e38, Number.NEGATIVE_INFINITY])
  assert.equal(f32ToBf16(largest, halves), 1)
  assert.deepEqual([...halves.subarray(0, 2)], [0x7f80, 0xff80])
})

test('NaN never becomes infinite, whatever its payload', () => {
  const floats = new Float32Array(3)
  new Uint32Array(floats.buffer).set([0x7f800001, 0xffffffff, 0x7fc00000])
  const halves = new Uint16Array(3)
  assert.equal(f32ToF16(floats, halves), 0)
  for (const half of halves) assert.ok(Number.isNaN(halfValue(half)))
  assert.equal(f32ToBf16(floats, halves), 0)
  for (const half of halves) assert.ok((half & 0x7fff) > 0x7f80)
})
