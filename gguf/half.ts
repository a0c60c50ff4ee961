/**
 * Conversions between F32 and the two half-width types, over whole arrays. Rounding is to nearest, ties to even, as in
 * ggml and in the hardware; infinities, subnormal numbers and NaN are kept.
 * The bytes of tensors are little-endian, as are all machines that Node runs this package on.
 */

let halfTable: Uint32Array | undefined

/** F16 bits to F32. `target` has at least as many elements as `source`. */
export function f16ToF32(source: Uint16Array, target: Float32Array): void {
  halfTable ??= makeHalfTable()
  const bits = new Uint32Array(target.buffer, target.byteOffset, target.length)
  for (let i = 0; i < source.length; i++) bits[i] = halfTable[source[i]!]!
}

/** F32 bits of each of the 65536 halves. */
function makeHalfTable(): Uint32Array {
  const floats = new Float32Array(65536)
  const bits = new Uint32Array(floats.buffer)
  for (let half = 0; half < 65536; half++) {
    const sign = half & 0x8000 ? -1 : 1
    const exponent = (half >>> 10) & 0x1f
    const fraction = half & 0x3ff
    if (exponent === 0x1f) bits[half] = (((half & 0x8000) << 16) | 0x7f800000 | (fraction << 13)) >>> 0
    else if (exponent === 0) floats[half] = sign * fraction * 2 ** -24
    else floats[half] = sign * (1024 + fraction) * 2 ** (exponent - 25)
  }
  return bits
}

const scratch = new Float32Array(1)
const scratchBits = new Uint32Array(scratch.buffer)

/**
 * F32 to F16 bits. Gives how many finite numbers became infinite: half precision ends at 65504.
 */
export function f32ToF16(source: Float32Array, target: Uint16Array): number {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length)
  let overflows = 0
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!
    const magnitude = word & 0x7fffffff
    let half: number
    if (magnitude >= 0x38800000 && magnitude < 0x47800000) {
      // normal: move the exponent's bias from 127 to 15 and round off 13 bits; a carry may reach infinity
      half = (magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13
      if (half === 0x7c00) overflows++
    } else if (magnitude < 0x38800000) {
      // subnormal or zero: at 0.5 the last bit of a float is worth 2^-24, so the addition does the rounding
      scratch[0] = Math.abs(source[i]!) + 0.5
      half = scratchBits[0]! - 0x3f000000
    } else if (magnitude <= 0x7f800000) {
      half = 0x7c00
      if (magnitude !== 0x7f800000) overflows++
    } else {
      half = 0x7e00 | ((magnitude >>> 13) & 0x3ff)
    }
    target[i] = ((word >>> 16) & 0x8000) | half
  }
  return overflows
}

/** BF16 bits to F32: the upper half of a float. */
export function bf16ToF32(source: Uint16Array, target: Float32Array): void {
  const bits = new Uint32Array(target.buffer, target.byteOffset, target.length)
  for (let i = 0; i < source.length; i++) bits[i] = source[i]! << 16
}

/** F32 to BF16 bits. Gives how many finite numbers became infinite. */
export function f32ToBf16(source: Float32Array, target: Uint16Array): number {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length)
  let overflows = 0
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!
    const magnitude = word & 0x7fffffff
    if (magnitude > 0x7f800000) {
      target[i] = (word >>> 16) | 0x40
      continue
    }
    const rounded = (magnitude + 0x7fff + ((magnitude >>> 16) & 1)) >>> 16
    if (rounded === 0x7f80 && magnitude !== 0x7f800000) overflows++
    target[i] = ((word >>> 16) & 0x8000) | rounded
  }
  return overflows
}
