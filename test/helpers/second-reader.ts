import assert from 'node:assert/strict'
import { type GGUFValueType, gguf } from '@huggingface/gguf'
import { VALUE_TYPE_IDS } from '../../gguf/format.js'
import { GGML_TYPES, type GgufValue, readHeader } from '../../gguf/index.js'

/** Both readers must see the same in a sound file: every key with its type and value, every tensor, the data's place. */
export async function assertReadersAgree(path: string): Promise<void> {
  const own = await readHeader(path)
  const other = await gguf(path, { typedMetadata: true, allowLocalFile: true })
  const { version, tensor_count, kv_count, ...keys } = other.typedMetadata
  assert.equal(version.value, own.version)
  assert.deepEqual([tensor_count.value, kv_count.value], [BigInt(own.tensors.length), BigInt(own.metadata.size)])
  assert.equal(other.tensorDataOffset, BigInt(own.dataOffset))
  assert.deepEqual(Object.keys(keys), [...own.metadata.keys()])
  for (const [key, found] of Object.entries(keys as Record<string, OtherValue>)) {
    assertSameValue(key, own.metadata.get(key)!, found)
  }
  assert.deepEqual(
    other.tensorInfos.map(({ name, shape, dtype, offset }) => ({ name, shape, dtype: Number(dtype), offset })),
    own.tensors.map(({ name, shape, type, offset }) => ({
      name,
      shape: shape.map(BigInt),
      dtype: GGML_TYPES[type].id,
      offset: BigInt(offset),
    })),
  )
}

interface OtherValue {
  type: GGUFValueType
  subType?: GGUFValueType
  value: unknown
}

function assertSameValue(key: string, own: GgufValue, other: OtherValue): void {
  assert.equal(Number(other.type), VALUE_TYPE_IDS[own.type], key)
  if (own.type === 'array') assert.equal(Number(other.subType), VALUE_TYPE_IDS[own.of], key)
  assert.deepEqual(other.value, own.value, key)
}
