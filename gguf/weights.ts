import { setImmediate as nextTurn } from 'node:timers/promises'
import { invalidCheckpoint } from './checkpoint-json.js'
import { type FloatType, tensorByteLength } from './format.js'
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from './half.js'
import { f32ToQ8 } from './q8.js'
import { readTensor, type SafetensorsTensor } from './safetensors.js'
import type { MatchedTensor, MatrixType } from './tensor-map.js'

/** Types of checkpoints that can be converted. */
const STORED_TYPES: { readonly [dtype: string]: FloatType } = { F32: 'f32', F16: 'f16', BF16: 'bf16' }

export function storedType({ dtype }: SafetensorsTensor): FloatType {
  return STORED_TYPES[dtype]!
}

/** Half a millisecond of arithmetic: so long other work of the process waits. */
const TURN_VALUES = 2 ** 16

/** The bytes of a tensor in the type it gets in the GGUF file, piece by piece; each piece uses the memory of the last. */
export async function* weightData({ sources }: MatchedTensor, type: MatrixType): AsyncGenerator<Uint8Array> {
  const encoder = new Encoder(type)
  for (const source of sources) {
    for await (const piece of readTensor(source)) {
      yield storedType(source) === type ? piece : await encoder.encode(piece, source)
    }
  }
}

class Encoder {
  readonly #type: MatrixType
  readonly #floats = new Float32Array(TURN_VALUES)
  #target = new Uint8Array()

  constructor(type: MatrixType) {
    this.#type = type
  }

  async encode(piece: Uint8Array, source: SafetensorsTensor): Promise<Uint8Array> {
    const stored = storedType(source)
    const values = piece.length / tensorByteLength(stored, [1])
    const length = this.#bytesOf(values)
    if (this.#target.length < length) this.#target = new Uint8Array(length)
    const target = this.#target.subarray(0, length)
    for (let from = 0; from < values; from += TURN_VALUES) {
      if (from > 0) await nextTurn()
      const count = Math.min(TURN_VALUES, values - from)
      const floats = this.#widen(piece, stored, from, count)
      const lost = this.#store(floats, target.subarray(this.#bytesOf(from), this.#bytesOf(from + count)))
      if (lost > 0) throw tooLarge(lost, source, this.#type)
    }
    return target
  }

  #bytesOf(values: number): number {
    return tensorByteLength(this.#type, [values])
  }

  #widen(piece: Uint8Array, stored: FloatType, from: number, count: number): Float32Array {
    if (stored === 'f32') return new Float32Array(piece.buffer, piece.byteOffset + 4 * from, count)
    const halves = new Uint16Array(piece.buffer, piece.byteOffset + 2 * from, count)
    const floats = this.#floats.subarray(0, count)
    if (stored === 'f16') f16ToF32(halves, floats)
    else bf16ToF32(halves, floats)
    return floats
  }

  /** Gives how many values the type cannot hold. */
  #store(floats: Float32Array, target: Uint8Array): number {
    if (this.#type === 'q8_0') return f32ToQ8(floats, target)
    if (this.#type === 'f32') {
      target.set(new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength))
      return 0
    }
    const halves = new Uint16Array(target.buffer, target.byteOffset, floats.length)
    return this.#type === 'f16' ? f32ToF16(floats, halves) : f32ToBf16(floats, halves)
  }
}

function tooLarge(lost: number, { name }: SafetensorsTensor, type: MatrixType): Error {
  const remedy = { f16: 'use outtype f32 or bf16', bf16: 'use outtype f32', q8_0: 'is the checkpoint sound?', f32: '' }
  const fault = type === 'q8_0' ? 'not finite or too large' : 'too large'
  return invalidCheckpoint(`${lost} or more weights of ${name} are ${fault} for ${type}; ${remedy[type]}`)
}
