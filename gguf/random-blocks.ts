import type { GgmlTypeName } from './format.js'
import { f32ToF16 } from './half.js'

/**
 * Makes weights around 0 with the standard deviation `spread` out of a block of random bytes, by setting its scales.
 * `at` is where it begins. Layouts: ggml-common.h; what their numbers mean: ggml-quants.c.
 */
export type BlockLayout = (view: DataView, at: number, spread: number, random: () => number) => void

/** Of whole numbers of so many bits, all equally likely, around their mean. */
function deviation(bits: number): number {
  return Math.sqrt((4 ** bits - 1) / 12)
}

/**
 * Signed integers and a scale. They run from -2ⁿ to 2ⁿ-1, so half a step to one side; the sign of the scale is random,
 * otherwise all blocks would lean to that side.
 */
function signedDeviation(bits: number): number {
  return Math.hypot(deviation(bits), 0.5)
}

/** Scale first. */
function signedBlock(bits: number): BlockLayout {
  return (view, at, spread, random) => setHalf(view, at, withSign(spread / signedDeviation(bits), random))
}

/** Scale and minimum first: the minimum is what centres the integers. */
function unsignedBlock(bits: number): BlockLayout {
  return (view, at, spread) => {
    const scale = spread / deviation(bits)
    setHalf(view, at, scale)
    setHalf(view, at + 2, -scale * meanOf(bits))
  }
}

function meanOf(bits: number): number {
  return (2 ** bits - 1) / 2
}

/** The scales of parts of a large block are integers themselves; here all alike but for their signs. */
const PART_SCALE = 32
const SIGNED_PART_SCALE = 16
const Q2_PART_SCALE = 8

/** Scale and minimum first, then 12 bytes that pack 8 scales and 8 minima of 6 bits: all 32, which is the bit 5 of each. */
function largeBlock(bits: number): BlockLayout {
  return (view, at, spread) => {
    const scale = spread / (deviation(bits) * PART_SCALE)
    setHalf(view, at, scale)
    setHalf(view, at + 2, scale * meanOf(bits))
    // 4 bytes with a whole scale each and the upper two bits of another, likewise for minima, then lower bits
    for (let i = 0; i < 8; i++) view.setUint8(at + 4 + i, PART_SCALE | ((PART_SCALE >> 4) << 6))
    for (let i = 8; i < 12; i++) view.setUint8(at + 4 + i, 0)
  }
}

/** 16 bytes with a scale and a minimum of 4 bits each, 64 bytes of 2-bit values, scale and minimum. */
const q2K: BlockLayout = (view, at, spread) => {
  for (let i = 0; i < 16; i++) view.setUint8(at + i, Q2_PART_SCALE | (Q2_PART_SCALE << 4))
  const scale = spread / (deviation(2) * Q2_PART_SCALE)
  setHalf(view, at + 80, scale)
  setHalf(view, at + 82, scale * meanOf(2))
}

/**
 * 96 bytes of 3-bit values (value - 4), 12 bytes that pack 16 scales of 6 bits (scale - 32), scale of the scales. 48 and
 * 16, which are the scales 16 and -16, have 0 in the lower four bits, which come first, and 3 or 1 in the upper two.
 */
const q3K: BlockLayout = (view, at, spread, random) => {
  for (let i = 0; i < 8; i++) view.setUint8(at + 96 + i, 0)
  for (let i = 8; i < 12; i++) view.setUint8(at + 96 + i, 0b01010101 | (random() & 0b10101010))
  setHalf(view, at + 108, spread / (signedDeviation(3) * SIGNED_PART_SCALE))
}

/** 192 bytes of 6-bit values (value - 32), 16 signed scales of 16 values each, scale of the scales. */
const q6K: BlockLayout = (view, at, spread, random) => {
  for (let i = 0; i < 16; i++) view.setInt8(at + 192 + i, withSign(SIGNED_PART_SCALE, random))
  setHalf(view, at + 208, spread / (signedDeviation(6) * SIGNED_PART_SCALE))
}

export const BLOCK_LAYOUTS: { readonly [Type in GgmlTypeName]?: BlockLayout } = {
  q4_0: signedBlock(4),
  q5_0: signedBlock(5),
  q8_0: signedBlock(8),
  q4_1: unsignedBlock(4),
  q5_1: unsignedBlock(5),
  q2_k: q2K,
  q3_k: q3K,
  q4_k: largeBlock(4),
  q5_k: largeBlock(5),
  q6_k: q6K,
}

function withSign(value: number, random: () => number): number {
  return random() & 1 ? value : -value
}

const float = new Float32Array(1)
const bits = new Uint16Array(1)

function setHalf(view: DataView, at: number, value: number): void {
  float[0] = value
  f32ToF16(float, bits)
  view.setUint16(at, bits[0]!, true)
}
