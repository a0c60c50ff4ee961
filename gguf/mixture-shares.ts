import { elementCount, type GgmlTypeName, type GgufTensorInfo } from './format.js'
import type { MixtureShare } from './inspect-types.js'

/** What tensors are stored in, the types that take most room first. */
export function mixtureOf(tensors: readonly Pick<GgufTensorInfo, 'type' | 'shape' | 'byteLength'>[]): MixtureShare[] {
  const shares = new Map<GgmlTypeName, MixtureShare>()
  for (const { byteLength, shape, type } of tensors) {
    const share = shares.get(type) ?? { type, tensors: 0, parameters: 0, bytes: 0 }
    share.tensors += 1
    share.parameters += elementCount(shape)
    share.bytes += byteLength
    shares.set(type, share)
  }
  return [...shares.values()].sort((a, b) => b.bytes - a.bytes)
}
