import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { f32ToBf16, f32ToF16 } from '../../gguf/half.js'
import { readHeader } from '../../gguf/index.js'

/** A folder that is removed when the test ends. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'phi2-gguf-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

export type Dtype = 'F32' | 'F16' | 'BF16'
export interface SourceTensor {
  dtype: string
  shape: number[]
  values: Float32Array
}

/** Two layers, and Phi-2's head: 80 features, 32 of them rotary. */
export const SMALL = { layers: 2, embedding: 160, heads: 2, feedForward: 640, vocabulary: 24 }

export const SMALL_CONFIG = {
  architectures: ['PhiForCausalLM'],
  bos_token_id: 13,
  eos_token_id: 13,
  hidden_act: 'gelu_new',
  hidden_size: SMALL.embedding,
  intermediate_size: SMALL.feedForward,
  layer_norm_eps: 1e-5,
  max_position_embeddings: 2048,
  model_type: 'phi',
  num_attention_heads: SMALL.heads,
  num_hidden_layers: SMALL.layers,
  num_key_value_heads: SMALL.heads,
  partial_rotary_factor: 0.4,
  qk_layernorm: false,
  rope_scaling: null,
  rope_theta: 10000,
  tie_word_embeddings: false,
  vocab_size: SMALL.vocabulary,
}

export const SMALL_VOCABULARY: Record<string, number> = {
  a: 0,
  b: 1,
  c: 2,
  Ġ: 3,
  '.': 4,
  Ċ: 5,
  ab: 6,
  Ġa: 7,
  abc: 8,
  é: 9,
  '!': 10,
  '0': 11,
  '1': 12,
  '<|endoftext|>': 13,
}
export const SMALL_MERGES = ['a b', 'Ġ a', 'ab c']
export const SMALL_ADDED: Record<string, number> = { '   ': 14, '  ': 15, '\t\t': 16 }

const TOKENIZER_CONFIG = {
  add_bos_token: false,
  bos_token: '<|endoftext|>',
  eos_token: '<|endoftext|>',
  unk_token: '<|endoftext|>',
  pad_token: null,
  tokenizer_class: 'CodeGenTokenizer',
}

/** The names of Transformers and their shapes in PyTorch's order, written out for this size. */
export function smallShapes(layers = SMALL.layers): [name: string, shape: number[]][] {
  const { embedding: e, feedForward: f, vocabulary: v } = SMALL
  const layer = (n: number): [string, number[]][] => [
    [`model.layers.${n}.input_layernorm.weight`, [e]],
    [`model.layers.${n}.input_layernorm.bias`, [e]],
    [`model.layers.${n}.self_attn.q_proj.weight`, [e, e]],
    [`model.layers.${n}.self_attn.q_proj.bias`, [e]],
    [`model.layers.${n}.self_attn.k_proj.weight`, [e, e]],
    [`model.layers.${n}.self_attn.k_proj.bias`, [e]],
    [`model.layers.${n}.self_attn.v_proj.weight`, [e, e]],
    [`model.layers.${n}.self_attn.v_proj.bias`, [e]],
    [`model.layers.${n}.self_attn.dense.weight`, [e, e]],
    [`model.layers.${n}.self_attn.dense.bias`, [e]],
    [`model.layers.${n}.mlp.fc1.weight`, [f, e]],
    [`model.layers.${n}.mlp.fc1.bias`, [f]],
    [`model.layers.${n}.mlp.fc2.weight`, [e, f]],
    [`model.layers.${n}.mlp.fc2.bias`, [e]],
  ]
  return [
    ['model.embed_tokens.weight', [v, e]],
    ...Array.from({ length: layers }, (_, n) => layer(n)).flat(),
    ['model.final_layernorm.weight', [e]],
    ['model.final_layernorm.bias', [e]],
    ['lm_head.weight', [v, e]],
    ['lm_head.bias', [v]],
  ]
}

/** Values with at most 7 significant bits, so that all three types hold them exactly. */
export function smallTensors(dtype: Dtype): Map<string, SourceTensor> {
  return new Map(
    smallShapes().map(([name, shape], seed) => {
      const count = shape.reduce((product, length) => product * length, 1)
      const values = Float32Array.from({ length: count }, (_, i) => (((i * 37 + seed * 11) % 251) - 125) / 64)
      return [name, { dtype, shape, values }]
    }),
  )
}

export function encode(values: Float32Array, dtype: string): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  const halves = new Uint16Array(values.length)
  if (dtype === 'F16') f32ToF16(values, halves)
  else f32ToBf16(values, halves)
  return new Uint8Array(halves.buffer)
}

export async function writeSafetensors(path: string, tensors: ReadonlyMap<string, SourceTensor>): Promise<void> {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } }
  const data: Uint8Array[] = []
  let offset = 0
  for (const [name, { dtype, shape, values }] of tensors) {
    const bytes = encode(values, dtype)
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes.length] }
    offset += bytes.length
    data.push(bytes)
  }
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  await writeFile(path, Buffer.concat([length, text, ...data]))
}

export interface CheckpointOptions {
  dtype?: Dtype
  shards?: 1 | 2
  /** Changes to config.json; undefined takes a key out. */
  config?: Record<string, unknown>
  /** Changes the tensors before they are written. */
  edit?: (tensors: Map<string, SourceTensor>) => void
  /** Which files hold the vocabulary. @default 'slow' (vocab.json, merges.txt, added_tokens.json) */
  tokenizer?: 'slow' | 'fast'
}

/** Writes a checkpoint folder as on Hugging Face. */
export async function writeCheckpoint(folder: string, options: CheckpointOptions = {}): Promise<void> {
  const { dtype = 'F16', shards = 1, config = {}, edit, tokenizer = 'slow' } = options
  const tensors = smallTensors(dtype)
  edit?.(tensors)
  await writeJson(join(folder, 'config.json'), { ...SMALL_CONFIG, ...config })
  await (tokenizer === 'slow' ? writeSlowTokenizer(folder) : writeFastTokenizer(folder))
  if (shards === 1) return writeSafetensors(join(folder, 'model.safetensors'), tensors)

  const entries = [...tensors]
  const half = Math.floor(entries.length / 2)
  const names = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const
  await writeSafetensors(join(folder, names[0]), new Map(entries.slice(0, half)))
  await writeSafetensors(join(folder, names[1]), new Map(entries.slice(half)))
  const weight_map = Object.fromEntries(entries.map(([name], index) => [name, names[index < half ? 0 : 1]]))
  await writeJson(join(folder, 'model.safetensors.index.json'), { metadata: {}, weight_map })
}

async function writeSlowTokenizer(folder: string): Promise<void> {
  await writeJson(join(folder, 'vocab.json'), SMALL_VOCABULARY)
  await writeFile(join(folder, 'merges.txt'), `#version: 0.2\n${SMALL_MERGES.join('\n')}\n`)
  await writeJson(join(folder, 'added_tokens.json'), SMALL_ADDED)
  await writeJson(join(folder, 'tokenizer_config.json'), TOKENIZER_CONFIG)
}

async function writeFastTokenizer(folder: string): Promise<void> {
  const added = Object.entries({ '<|endoftext|>': 13, ...SMALL_ADDED })
  await writeJson(join(folder, 'tokenizer.json'), {
    added_tokens: added.map(([content, id]) => ({ id, content, special: id === 13, normalized: id !== 13 })),
    model: { type: 'BPE', vocab: SMALL_VOCABULARY, merges: SMALL_MERGES.map((merge) => merge.split(' ')) },
  })
  await writeJson(join(folder, 'tokenizer_config.json'), TOKENIZER_CONFIG)
}

export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFile(path, JSON.stringify(value))
}

export async function readJson(path: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(path, 'utf8'))
}

/** The bytes of one tensor of a GGUF file. */
export async function tensorBytes(path: string, name: string): Promise<Uint8Array> {
  const { tensors, dataOffset } = await readHeader(path)
  const tensor = tensors.find((candidate) => candidate.name === name)
  if (tensor === undefined) throw new Error(`${path} has no tensor ${name}`)
  const file = await open(path)
  try {
    const bytes = new Uint8Array(tensor.byteLength)
    await file.read(bytes, 0, bytes.length, dataOffset + tensor.offset)
    return bytes
  } finally {
    await file.close()
  }
}
