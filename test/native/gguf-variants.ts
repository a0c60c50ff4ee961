import { readFileSync, writeFileSync } from 'node:fs'
import { type GgmlTypeName, type GgufTensor, type GgufValue, tensorByteLength, writeGguf } from '../../gguf/index.js'

const tokens = ['a', 'b', 'c', 'Ġ', '.', 'Ċ', 'ab', 'Ġa', 'abc', '!', '0', ',', 'Ġ0', '<|endoftext|>']
export const comma = 11
export const endOfText = 13

const width = 256
const heads = 2

/** A model that can be written, open to changes that make it unsound. */
export class Model {
  readonly metadata = new Map<string, GgufValue>()
  tensors: GgufTensor[] = []
  /** Changes the bytes of the whole file, for what the writer refuses to write. */
  patch: ((file: Buffer) => Buffer) | undefined

  set(key: string, type: 'uint32' | 'float32', value: number): this {
    this.metadata.set(key, { type, value })
    return this
  }

  bool(key: string, value: boolean): this {
    this.metadata.set(key, { type: 'bool', value })
    return this
  }

  text(key: string, value: string): this {
    this.metadata.set(key, { type: 'string', value })
    return this
  }

  remove(key: string): this {
    this.metadata.delete(key)
    return this
  }

  vocabulary(texts: readonly string[]): this {
    this.metadata.set('tokenizer.ggml.tokens', { type: 'array', of: 'string', value: texts })
    const value = texts.map((text) => (text === '<|endoftext|>' ? 3 : 1))
    this.metadata.set('tokenizer.ggml.token_type', { type: 'array', of: 'int32', value })
    return this
  }

  /** Replaces one token's text. */
  token(id: number, text: string): this {
    return this.vocabulary(tokens.with(id, text))
  }

  add(name: string, shape: readonly number[], type: GgmlTypeName = 'f32', fill = 0): this {
    const data = () => {
      const bytes = new Uint8Array(tensorByteLength(type, shape))
      if (fill !== 0) new Float32Array(bytes.buffer).fill(fill)
      return [bytes]
    }
    this.tensors.push({ name, type, shape, data })
    return this
  }

  rename(name: string, to: string): this {
    this.tensors = this.tensors.map((tensor) => (tensor.name === name ? { ...tensor, name: to } : tensor))
    return this
  }

  drop(...names: string[]): this {
    this.tensors = this.tensors.filter(({ name }) => !names.includes(name))
    return this
  }

  /** The same tensor in another type, as zeros or of one float. */
  retype(name: string, type: GgmlTypeName, fill = 0): this {
    const { shape } = this.tensors.find((tensor) => tensor.name === name)!
    return this.drop(name).add(name, shape, type, fill)
  }

  retypeMatrices(type: GgmlTypeName): this {
    for (const { name, shape } of [...this.tensors]) if (shape.length > 1) this.retype(name, type)
    return this
  }

  /** The token that every step gives: the matrices are zeros, so that the logits are the bias of the output. */
  favour(id: number): this {
    const { shape } = this.tensors.find(({ name }) => name === 'output.bias')!
    const values = Float32Array.from({ length: shape[0]! }, (_, token) => (token === id ? 10 : 0))
    const data = () => [new Uint8Array(values.buffer)]
    this.drop('output.bias').tensors.push({ name: 'output.bias', type: 'f32', shape, data })
    return this
  }

  async write(path: string): Promise<void> {
    await writeGguf(path, { metadata: this.metadata, tensors: this.tensors })
    if (this.patch) writeFileSync(path, this.patch(readFileSync(path)))
  }
}

/** A sound Phi-2 of one layer with 14 tokens that answers `aaaa…` to everything. */
export function soundModel(): Model {
  const model = new Model()
    .text('general.architecture', 'phi2')
    .text('general.name', 'variant')
    .set('phi2.context_length', 'uint32', 2048)
    .set('phi2.embedding_length', 'uint32', width)
    .set('phi2.feed_forward_length', 'uint32', width)
    .set('phi2.block_count', 'uint32', 1)
    .set('phi2.attention.head_count', 'uint32', heads)
    .set('phi2.attention.head_count_kv', 'uint32', heads)
    .set('phi2.attention.layer_norm_epsilon', 'float32', 1e-5)
    .set('phi2.rope.dimension_count', 'uint32', 32)
    .text('tokenizer.ggml.model', 'gpt2')
    .text('tokenizer.ggml.pre', 'phi-2')
    .vocabulary(tokens)
    .set('tokenizer.ggml.bos_token_id', 'uint32', endOfText)
    .set('tokenizer.ggml.eos_token_id', 'uint32', endOfText)
  const merges = ['a b', 'Ġ a', 'ab c', 'Ġ 0']
  model.metadata.set('tokenizer.ggml.merges', { type: 'array', of: 'string', value: merges })

  const n = tokens.length
  model
    .add('token_embd.weight', [width, n])
    .add('output_norm.weight', [width], 'f32', 1)
    .add('output_norm.bias', [width])
  model.add('output.weight', [width, n]).add('output.bias', [n])
  model.add('blk.0.attn_norm.weight', [width], 'f32', 1).add('blk.0.attn_norm.bias', [width])
  for (const matrix of ['attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_up', 'ffn_down']) {
    model.add(`blk.0.${matrix}.weight`, [width, width]).add(`blk.0.${matrix}.bias`, [width])
  }
  return model.favour(0)
}

/** With q, k and v in one matrix. */
export function fuseAttention(model: Model): void {
  for (const kind of ['weight', 'bias']) {
    model.drop(...['q', 'k', 'v'].map((letter) => `blk.0.attn_${letter}.${kind}`))
  }
  model.add('blk.0.attn_qkv.weight', [width, 3 * width]).add('blk.0.attn_qkv.bias', [3 * width])
}

/** With other tokens, and the rows that they need. */
export function replaceVocabulary(model: Model, texts: readonly string[]): void {
  model.vocabulary(texts).drop('token_embd.weight', 'output.weight', 'output.bias')
  model.add('token_embd.weight', [width, texts.length]).add('output.weight', [width, texts.length])
  model.add('output.bias', [texts.length]).favour(0)
}
