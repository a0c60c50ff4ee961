import { open } from 'node:fs/promises'
import type { GgufTensorInfo } from '../../gguf/format.js'
import { modelMetadata } from '../../gguf/metadata.js'
import { readHeader } from '../../gguf/read.js'
import { type FloatType, planTensors, tensorType } from '../../gguf/tensor-map.js'
import { layOut } from '../../gguf/write.js'
import { tinyModelPath } from '../../src/models/resolve.js'

export interface SparseModelOptions {
  type?: FloatType
  /** q, k and v as one matrix, as in files of before 2024. */
  fused?: boolean
  layers?: number
}

/** A full-size Phi-2 file whose weights are a hole: it has its size and takes no room. */
export async function writeSparseModel(path: string, options: SparseModelOptions = {}): Promise<void> {
  const { type = 'f16', fused = false, layers = 32 } = options
  const sizes = { layers, embeddingSize: 2560, feedForwardSize: 10240, vocabularySize: 51200 }
  const planned = planTensors(sizes)
    .filter(({ name }) => !fused || !/attn_[kv]\./.test(name))
    .map(({ name, shape }) =>
      fused && name.includes('.attn_q.')
        ? { name: name.replace('attn_q', 'attn_qkv'), shape: shape.with(-1, shape.at(-1)! * 3) }
        : { name, shape },
    )
  const tensors = planned.map((tensor) => ({ ...tensor, type: tensorType(type, tensor), data: () => [] }))
  const config = { ...sizes, heads: 32, rotarySize: 32, contextSize: 2048, layerNormEpsilon: 1e-5, ropeTheta: 10000 }
  const general = { name: 'sparse', parameters: 2_779_683_840, fileType: type, tags: [], languages: [] }
  const { metadata } = await readHeader(tinyModelPath())
  const vocabulary = [...metadata].filter(([key]) => key.startsWith('tokenizer.'))
  const layout = layOut({ metadata: new Map([...modelMetadata(config, general), ...vocabulary]), tensors })
  const file = await open(path, 'wx')
  await file.write(layout.header)
  await file.truncate(layout.header.length + layout.dataBytes)
  await file.close()
}

export function totalBytes(tensors: readonly Pick<GgufTensorInfo, 'byteLength'>[]): number {
  return tensors.reduce((sum, { byteLength }) => sum + byteLength, 0)
}
