import { GGML_TYPES } from './format.js'
import { f32ToF16 } from './half.js'

const { blockSize, blockBytes } = GGML_TYPES.q8_0
/** The largest magnitude of a signed byte that its negative has as well. */
const MAX_QUANT = 127

const INFINITY_BITS = 0x7f800000

const scale = new Float32Array(1)
const scaleWord = new Int32Array(scale.buffer)
const scaleHalf = new Uint16Array(1)

/**
 * F32 to Q8_0: blocks of 32 values, an F16 scale and 32 signed bytes, by the same float arithmetic as
 * `quantize_row_q8_0_ref` in ggml-quants.c, so to the same bytes. `source` is a whole number of blocks. Gives how many
 * values cannot be stored: all of a block in which one is not finite or which has too large a scale.
 */
export function f32ToQ8(source: Float32Array, target: Uint8Array): number {
  const words = new Int32Array(source.buffer, source.byteOffset, source.length)
  const quants = new Int8Array(target.buffer, target.byteOffset, target.length)
  let lost = 0
  for (let from = 0, at = 0; from < source.length; from += blockSize, at += blockBytes) {
    // the bits of magnitudes are in their order, with infinity and NaN above all others
    let largest = 0
    for (let i = from; i < from + blockSize; i++) {
      const magnitude = words[i]! & 0x7fffffff
      if (magnitude > largest) largest = magnitude
    }
    scaleWord[0] = largest
    const step = Math.fround(scale[0]! / MAX_QUANT)
    const inverse = step === 0 ? 0 : Math.fround(1 / step)
    scale[0] = step
    if (f32ToF16(scale, scaleHalf) > 0 || largest >= INFINITY_BITS) lost += blockSize
    target[at] = scaleHalf[0]! & 0xff
    target[at + 1] = scaleHalf[0]! >>> 8
    for (let i = 0; i < blockSize; i++) {
      // to nearest, halves away from zero, as roundf does; half the time if no branch asks for the sign
      const sign = words[from + i]! >> 31
      quants[at + 2 + i] = (Math.fround(source[from + i]! * inverse) + (0.5 + sign)) | 0
    }
  }
  return lost
}
