import { setImmediate } from 'node:timers/promises'
import { type FloatType, GGML_TYPES, type GgmlTypeName, isFloatType } from './format.js'
import { f32ToBf16, f32ToF16 } from './half.js'
import { BLOCK_LAYOUTS } from './random-blocks.js'

/** Random weights in the stored form of one type, from which rows are cut. */
export interface WeightPool {
  bytes: Uint8Array
  /** Rows may begin at multiples of this. */
  blockBytes: number
}

/** Uniform 32-bit integers: the PCG-like mulberry32, which is enough for noise and fast. */
export function randomSource(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let word = Math.imul(state ^ (state >>> 15), state | 1)
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61)
    return (word ^ (word >>> 14)) >>> 0
  }
}

/** Half a million weights: many times a row, so cuts seldom overlap. */
const POOL_WEIGHTS = 2 ** 19
const POOL_SEED = 0x5eed

/** This many at a time: the event loop waits no longer than a millisecond or two. */
const WEIGHTS_AT_ONCE = 2 ** 14

/** A pool of weights around 0 whose standard deviation is `spread`. */
export async function makePool(type: GgmlTypeName, spread: number): Promise<WeightPool> {
  const { blockSize, blockBytes } = GGML_TYPES[type]
  const bytes = new Uint8Array((POOL_WEIGHTS / blockSize) * blockBytes)
  const random = randomSource(POOL_SEED)
  const step = (WEIGHTS_AT_ONCE / blockSize) * blockBytes
  for (let at = 0; at < bytes.length; at += step) {
    const part = bytes.subarray(at, at + step)
    if (isFloatType(type)) part.set(encodeFloats(randomFloats(WEIGHTS_AT_ONCE, spread, random), type))
    else fillBlocks(part, type, spread, random)
    await setImmediate()
  }
  return { bytes, blockBytes }
}

function randomFloats(length: number, spread: number, random: () => number): Float32Array {
  // the sum of four uniform numbers from 0 to 1 has variance 4/12: near enough to a bell curve
  const scale = spread * Math.sqrt(3)
  const floats = new Float32Array(length)
  for (let i = 0; i < length; i++) {
    floats[i] = scale * ((random() + random() + random() + random()) / 2 ** 32 - 2)
  }
  return floats
}

/** The bytes of these numbers in a float type. */
export function encodeFloats(floats: Float32Array, type: FloatType): Uint8Array {
  if (type === 'f32') return new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength)
  const halves = new Uint16Array(floats.length)
  if (type === 'f16') f32ToF16(floats, halves)
  else f32ToBf16(floats, halves)
  return new Uint8Array(halves.buffer)
}

function fillBlocks(bytes: Uint8Array, type: GgmlTypeName, spread: number, random: () => number): void {
  const layout = BLOCK_LAYOUTS[type]
  if (layout === undefined) throw new Error(`no random blocks for ${type}`)
  for (let i = 0; i < bytes.length; i++) bytes[i] = random() >>> 24
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let block = 0; block < bytes.length; block += GGML_TYPES[type].blockBytes) layout(view, block, spread, random)
}
