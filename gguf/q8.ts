import { GGML_TYPES } from './format.js'
import { f32ToF16 } from './half.js'

const { blockSize, blockBytes } = GGML_TYPES.q8_0
/** The largest magnitude of a signed byte that its negative has as well. */
const MAX_QUANT = 127

const scale = new Float32Array(1)
const scaleBits = new Uint16Array(1)

/**
 * F32 to Q8_0: blocks of 32 values, an F16 scale and 32 signed bytes, by the same float arithmetic as
 * `quantize_row_q8_0_ref` in ggml-quants.c, so to the same bytes. `source` is a whole number of blocks. Gives how many
 * values cannot be stored: those that are not finite, and all of a block whose scale is.
 */
export function f32ToQ8(source: Float32Array, target: Uint8Array): number {
  const quants = new Int8Array(target.buffer, target.byteOffset, target.length)
  let lost = 0
  for (let from = 0, at = 0; from < source.length; from += blockSize, at += blockBytes) {
    let largest = 0
    let sum = 0
    for (let i = from; i < from + blockSize; i++) {
      const magnitude = Math.abs(source[i]!)
      if (magnitude > largest) largest = magnitude
      sum += magnitude
    }
    const step = Math.fround(largest / MAX_QUANT)
    const inverse = step === 0 ? 0 : Math.fround(1 / step)
    scale[0] = step
    // a sum that is not finite finds the NaN that no comparison finds
    if (f32ToF16(scale, scaleBits) > 0 || !Number.isFinite(sum)) lost += blockSize
    target[at] = scaleBits[0]! & 0xff
    target[at + 1] = scaleBits[0]! >>> 8
    for (let i = 0; i < blockSize; i++) {
      const value = Math.fround(source[from + i]! * inverse)
      // to nearest, halves away from zero, as roundf does
      quants[at + 2 + i] = value < 0 ? value - 0.5 : value + 0.5
    }
  }
  return lost
}
