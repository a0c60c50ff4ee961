import { open } from 'node:fs/promises'
import { randomSource } from '../../gguf/random-weights.js'

/** Values at which lengths, counts and offsets go wrong. */
const EXTREMES = [
  0n,
  1n,
  2n,
  0x7fn,
  0xffn,
  0x7fff_ffffn,
  0xffff_ffffn,
  1n << 32n,
  1n << 53n,
  2n ** 63n - 1n,
  2n ** 64n - 1n,
]

/**
 * Damages a header of a GGUF file in one of the ways that disks, networks and attackers have: bytes and bits changed,
 * length fields set to extremes, blocks swapped, doubled or taken out, the end cut off. The same seed gives the same.
 */
export class HeaderMutator {
  private readonly random: () => number
  private readonly fields: readonly number[]

  constructor(
    private readonly header: Buffer,
    seed: number,
  ) {
    this.random = randomSource(seed)
    this.fields = lengthFields(header)
  }

  next(): Buffer {
    let bytes: Buffer = Buffer.from(this.header)
    for (let changes = this.below(4) === 0 ? 3 : 1; changes > 0; changes--) bytes = this.change(bytes)
    return bytes
  }

  private change(bytes: Buffer): Buffer {
    const at = this.below(bytes.length)
    switch (this.below(10)) {
      case 0:
      case 1:
        bytes[at] = this.below(256)
        return bytes
      case 2:
      case 3:
        bytes[at]! ^= 1 << this.below(8)
        return bytes
      case 4:
        return bytes.subarray(0, Math.max(1, at))
      case 5:
        return this.swapBlocks(bytes)
      case 6:
        return Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.max(0, at - this.below(200)))])
      case 7:
        return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + this.below(200))])
      default:
        return this.setField(bytes)
    }
  }

  private swapBlocks(bytes: Buffer): Buffer {
    const length = 1 + this.below(64)
    if (bytes.length < 2 * length) return bytes
    const [one, other] = [this.below(bytes.length - length), this.below(bytes.length - length)]
    const block = Buffer.from(bytes.subarray(one, one + length))
    bytes.copyWithin(one, other, other + length)
    block.copy(bytes, other)
    return bytes
  }

  private setField(bytes: Buffer): Buffer {
    const at = this.fields[this.below(this.fields.length)]!
    if (at + 8 > bytes.length) return bytes
    const value = this.below(4) === 0 ? bytes.readBigUInt64LE(at) + 1n : EXTREMES[this.below(EXTREMES.length)]!
    bytes.writeBigUInt64LE(value & (2n ** 64n - 1n), at)
    return bytes
  }

  private below(limit: number): number {
    return Math.floor((this.random() / 2 ** 32) * limit)
  }
}

/** Every place where a small 64-bit number can be read: lengths, counts, dimensions, offsets. */
function lengthFields(header: Buffer): number[] {
  const fields: number[] = []
  for (let at = 0; at + 8 <= header.length; at++) {
    const value = header.readBigUInt64LE(at)
    if (value > 0n && value < 1n << 20n) fields.push(at)
  }
  return fields
}

/** Makes a file of a damaged header, with zeros for the tensors up to `size`. */
export async function writeSparse(path: string, header: Buffer, size: number): Promise<void> {
  const file = await open(path, 'w')
  try {
    await file.write(header)
    await file.truncate(Math.max(size, header.length))
  } finally {
    await file.close()
  }
}

/** Replaces the content without emptying the file first, which some file systems write out at once, a slow thing. */
export async function overwrite(path: string, content: Buffer): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.write(content, 0, content.length, 0)
    await file.truncate(content.length)
  } finally {
    await file.close()
  }
}
