import { f32ToBf16, f32ToF16 } from '../../gguf/half.js'
import { type GgufMetadata, type GgufTensor, writeGguf } from '../../gguf/index.js'
import { modelMetadata } from '../../gguf/metadata.js'
import { planTensors, tensorType } from '../../gguf/tensor-map.js'

export interface SmallModelOptions {
  /** Row length of most matrices; those of ffn_down are four times as long. */
  width: number
  type?: 'f32' | 'f16' | 'bf16'
  layers?: number
  /** `general.alignment` */
  alignment?: number
  /** Changes weights of a matrix before they are written in F32. */
  edit?: (name: string, weights: Float32Array) => void
}

const TOKENS = ['a', 'b', 'c', 'Ġ', '.', 'Ċ', 'ab', 'Ġa', 'abc', '!', '0', ',', 'Ġ0', '<|endoftext|>']

/** A Phi-2 with 14 tokens and pseudo-random weights, of any width: smaller and odder than `synth` makes them. */
export async function writeSmallModel(path: string, options: SmallModelOptions): Promise<void> {
  const { width, type = 'f32', layers = 2, alignment, edit } = options
  const sizes = { layers, embeddingSize: width, feedForwardSize: 4 * width, vocabularySize: TOKENS.length }
  const config = { ...sizes, heads: 2, rotarySize: 4, contextSize: 2048, layerNormEpsilon: 1e-5, ropeTheta: 10000 }
  const general = { name: 'small', parameters: 1, fileType: type, tags: [], languages: [] }
  const metadata: GgufMetadata = new Map([...modelMetadata(config, general), ...smallVocabulary()])
  if (alignment !== undefined) metadata.set('general.alignment', { type: 'uint32', value: alignment })
  const random = noise()
  const tensors = planTensors(sizes).map(({ name, shape }): GgufTensor => {
    const isMatrix = shape.length > 1
    const count = shape.reduce((product, length) => product * length, 1)
    const weights = Float32Array.from({ length: count }, () =>
      isMatrix ? random() * 0.1 : name.endsWith('_norm.weight') ? 1 : 0,
    )
    if (isMatrix) edit?.(name, weights)
    const stored = tensorType(type, { name, shape })
    return { name, type: stored, shape, data: () => [encode(weights, stored)] }
  })
  await writeGguf(path, { metadata, tensors })
}

export function smallVocabulary(): GgufMetadata {
  return new Map([
    ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }],
    ['tokenizer.ggml.pre', { type: 'string', value: 'phi-2' }],
    ['tokenizer.ggml.tokens', { type: 'array', of: 'string', value: TOKENS }],
    ['tokenizer.ggml.token_type', { type: 'array', of: 'int32', value: TOKENS.map((_, id) => (id === 13 ? 3 : 1)) }],
    ['tokenizer.ggml.merges', { type: 'array', of: 'string', value: ['a b', 'Ġ a', 'ab c', 'Ġ 0'] }],
    ['tokenizer.ggml.bos_token_id', { type: 'uint32', value: 13 }],
    ['tokenizer.ggml.eos_token_id', { type: 'uint32', value: 13 }],
  ])
}

/** Numbers from -1 to 1, the same in every run. */
function noise(): () => number {
  let state = 1
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return (state / 2 ** 32) * 2 - 1
  }
}

function encode(weights: Float32Array, type: string): Uint8Array {
  if (type === 'f32') return new Uint8Array(weights.buffer)
  const halves = new Uint16Array(weights.length)
  if (type === 'f16') f32ToF16(weights, halves)
  else f32ToBf16(weights, halves)
  return new Uint8Array(halves.buffer)
}
