import { open } from 'node:fs/promises'
import type { FloatType } from '../../gguf/format.js'
import type { GgufMetadata } from '../../gguf/index.js'
import { modelMetadata } from '../../gguf/metadata.js'
import { readHeader } from '../../gguf/read.js'
import { planTensors, tensorType } from '../../gguf/tensor-map.js'
import { layOut } from '../../gguf/write.js'
import { tinyModelPath } from '../../src/models/resolve.js'
import { smallVocabulary } from './small-model.js'

export interface SparseModelOptions {
  type?: FloatType
  /** q, k and v as one matrix, as in files of before 2024. */
  fused?: boolean
  layers?: number
  /** With Phi-2's own vocabulary, so that the engine can load it. */
  loadable?: boolean
}

/**
 * A Phi-2 file with tensors of the full size whose weights are a hole: it takes no room. Of the vocabulary there is only
 * what a sound header needs.
 */
export async function writeSparseModel(path: string, options: SparseModelOptions = {}): Promise<void> {
  const { type = 'f16', fused = false, layers = 32, loadable = false } = options
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
  const metadata = new Map([
    ...modelMetadata(config, general),
    ...(loadable ? await wholeVocabulary() : smallVocabulary()),
  ])
  const layout = layOut({ metadata, tensors })
  const file = await open(path, 'wx')
  await file.write(layout.header)
  await file.truncate(layout.header.length + layout.dataBytes)
  await file.close()
}

async function wholeVocabulary(): Promise<GgufMetadata> {
  const { metadata } = await readHeader(tinyModelPath())
  return new Map([...metadata].filter(([key]) => key.startsWith('tokenizer.')))
}
