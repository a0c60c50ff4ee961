import { invalidCheckpoint } from './checkpoint-json.js'
import { type FloatType, GGML_TYPES } from './format.js'
import type { ModelConfig } from './model-config.js'
import type { SafetensorsTensor } from './safetensors.js'

/** The types that a matrix can get without llama.cpp. */
export type MatrixType = FloatType | 'q8_0'

type Sizes = Pick<ModelConfig, 'vocabularySize' | 'embeddingSize' | 'feedForwardSize' | 'layers'>

/** One module of the model: its name in GGUF and the shapes of its two tensors, in GGUF order. */
interface Module {
  name: string
  weight: (sizes: Sizes) => number[]
  /** Undefined for the embedding, which has none. */
  bias?: (sizes: Sizes) => number[]
}

const embedding = ({ embeddingSize }: Sizes) => [embeddingSize]
const square = ({ embeddingSize }: Sizes) => [embeddingSize, embeddingSize]

/** The modules of the `phi2` architecture: `src/models/phi2.cpp` of llama.cpp. `N` is the layer. */
const TOKEN_EMBEDDING: Module = { name: 'token_embd', weight: (s) => [s.embeddingSize, s.vocabularySize] }
const LAYER_MODULES: readonly Module[] = [
  { name: 'blk.N.attn_norm', weight: embedding, bias: embedding },
  { name: 'blk.N.attn_q', weight: square, bias: embedding },
  { name: 'blk.N.attn_k', weight: square, bias: embedding },
  { name: 'blk.N.attn_v', weight: square, bias: embedding },
  { name: 'blk.N.attn_output', weight: square, bias: embedding },
  { name: 'blk.N.ffn_up', weight: (s) => [s.embeddingSize, s.feedForwardSize], bias: (s) => [s.feedForwardSize] },
  { name: 'blk.N.ffn_down', weight: (s) => [s.feedForwardSize, s.embeddingSize], bias: embedding },
]
const OUTPUT_MODULES: readonly Module[] = [
  { name: 'output_norm', weight: embedding, bias: embedding },
  { name: 'output', weight: (s) => [s.embeddingSize, s.vocabularySize], bias: (s) => [s.vocabularySize] },
]

/** One of several equal parts, stacked row by row, of a tensor in the checkpoint. */
interface Part {
  index: number
  of: number
}

/** GGUF module → module in the checkpoint. Another naming of the same modules is another table of this kind. */
type Naming = { readonly [name: string]: string | ({ module: string } & Part) }

/** `PhiForCausalLM` of Transformers, since January 2024. */
const TRANSFORMERS_NAMING: Naming = {
  token_embd: 'model.embed_tokens',
  'blk.N.attn_norm': 'model.layers.N.input_layernorm',
  'blk.N.attn_q': 'model.layers.N.self_attn.q_proj',
  'blk.N.attn_k': 'model.layers.N.self_attn.k_proj',
  'blk.N.attn_v': 'model.layers.N.self_attn.v_proj',
  'blk.N.attn_output': 'model.layers.N.self_attn.dense',
  'blk.N.ffn_up': 'model.layers.N.mlp.fc1',
  'blk.N.ffn_down': 'model.layers.N.mlp.fc2',
  output_norm: 'model.final_layernorm',
  output: 'lm_head',
}

/** The code that Microsoft published with the weights until then (`model_type: "phi-msft"`). */
export const REMOTE_CODE_NAMING: Naming = {
  token_embd: 'transformer.embd.wte',
  'blk.N.attn_norm': 'transformer.h.N.ln',
  'blk.N.attn_q': { module: 'transformer.h.N.mixer.Wqkv', index: 0, of: 3 },
  'blk.N.attn_k': { module: 'transformer.h.N.mixer.Wqkv', index: 1, of: 3 },
  'blk.N.attn_v': { module: 'transformer.h.N.mixer.Wqkv', index: 2, of: 3 },
  'blk.N.attn_output': 'transformer.h.N.mixer.out_proj',
  'blk.N.ffn_up': 'transformer.h.N.mlp.fc1',
  'blk.N.ffn_down': 'transformer.h.N.mlp.fc2',
  output_norm: 'lm_head.ln',
  output: 'lm_head.linear',
}

/** Buffers that some versions of the model's code saved; they are computed, not learned. */
const IGNORED = /\.rotary_emb\.inv_freq$|\.attention\.(masked_)?bias$/

export interface PlannedTensor {
  name: string
  /** GGUF order. */
  shape: number[]
  /** What the checkpoint calls it. */
  checkpointName: string
  /** The checkpoint's tensor holds this one and others. */
  part?: Part
}

/** Every tensor of a Phi-2 GGUF file in the order of the graph: 14 in each layer and 5 around them. */
export function planTensors(sizes: Sizes, naming = TRANSFORMERS_NAMING): PlannedTensor[] {
  const plan = ({ name, weight, bias }: Module, layer?: number): PlannedTensor[] => {
    const inLayer = (template: string) => template.replace('N', String(layer))
    const stored = naming[name]!
    const { module, ...part } = typeof stored === 'string' ? { module: stored } : stored
    const tensor = (kind: string, shape: number[]): PlannedTensor => ({
      name: `${inLayer(name)}.${kind}`,
      shape,
      checkpointName: `${inLayer(module)}.${kind}`,
      ...('of' in part && { part }),
    })
    return [tensor('weight', weight(sizes)), ...(bias ? [tensor('bias', bias(sizes))] : [])]
  }
  return [
    ...plan(TOKEN_EMBEDDING),
    ...Array.from({ length: sizes.layers }, (_, layer) =>
      LAYER_MODULES.flatMap((module) => plan(module, layer)),
    ).flat(),
    ...OUTPUT_MODULES.flatMap((module) => plan(module)),
  ]
}

/**
 * The type of a tensor in a file of type `type`: matrices take it, vectors, norms and biases stay F32. A matrix whose
 * rows are no whole number of Q8_0 blocks becomes F16 (`prepare_tensors` in llama.cpp's conversion/base.py).
 */
export function tensorType<T extends MatrixType>(
  type: T,
  { name, shape }: Pick<PlannedTensor, 'name' | 'shape'>,
): T | FloatType {
  const isMatrix = shape.length > 1 && name.endsWith('.weight') && !name.endsWith('_norm.weight')
  if (!isMatrix) return 'f32'
  return shape[0]! % GGML_TYPES[type].blockSize === 0 ? type : 'f16'
}

/** A tensor of the GGUF file and where its data lies in the checkpoint: one stretch after the other. */
export interface MatchedTensor {
  name: string
  /** GGUF order. */
  shape: number[]
  sources: SafetensorsTensor[]
}

/**
 * Finds every tensor of Phi-2 in a checkpoint, whichever of the two namings it has.
 * @throws {Phi2Error} `PHI2_INVALID_CHECKPOINT` when one is missing, has another shape or a type other than F32, F16
 * and BF16, when tensors are left over that Phi-2 does not have (adapters, quantized or fine-tuned variants), or when
 * the naming is an older one or a mixture.
 */
export function matchTensors(sizes: Sizes, checkpoint: ReadonlyMap<string, SafetensorsTensor>): MatchedTensor[] {
  const left = new Set(checkpoint.keys())
  const missing = new Set<string>()
  const matched: MatchedTensor[] = []
  for (const { name, shape, checkpointName, part } of planTensors(sizes, namingOf(checkpoint))) {
    const source = checkpoint.get(checkpointName)
    if (source === undefined) {
      missing.add(checkpointName)
      continue
    }
    left.delete(checkpointName)
    checkSource(source, part === undefined ? shape : [...shape.slice(0, -1), shape.at(-1)! * part.of])
    matched.push({ name, shape, sources: [part === undefined ? source : partOf(source, part)] })
  }
  if (missing.size > 0) throw invalidCheckpoint(`the checkpoint lacks ${list([...missing])}`)
  const unexpected = [...left].filter((name) => !IGNORED.test(name))
  if (unexpected.length > 0) {
    throw invalidCheckpoint(
      `the checkpoint holds ${list(unexpected)}, which Phi-2 does not have; merge adapters before converting`,
    )
  }
  return matched
}

function namingOf(checkpoint: ReadonlyMap<string, unknown>): Naming {
  const first = (prefix: string) =>
    [...checkpoint.keys()].find((name) => name.startsWith(prefix) && !IGNORED.test(name))
  const [current, old, mixFormer] = [first('model.'), first('transformer.'), first('layers.')]
  if (mixFormer !== undefined) {
    throw invalidCheckpoint(
      `the checkpoint has the names of the first MixFormer code (${mixFormer}), which llama.cpp does not know either; ` +
        'use a revision of January 2024 or later',
    )
  }
  if (current !== undefined && old !== undefined) {
    throw invalidCheckpoint(
      `the checkpoint mixes the current naming (${current}) with the one before January 2024 (${old}); ` +
        'keep the files of one revision only',
    )
  }
  return old === undefined ? TRANSFORMERS_NAMING : REMOTE_CODE_NAMING
}

/** Rows lie one after the other, so a stack of matrices is cut by bytes. */
function partOf(source: SafetensorsTensor, { index, of }: Part): SafetensorsTensor {
  const [rows, ...rest] = source.shape
  const byteLength = source.byteLength / of
  return { ...source, shape: [rows! / of, ...rest], byteLength, offset: source.offset + index * byteLength }
}

/**
 * Puts query, key and value of each layer, in this order, into one `attn_qkv`: 10 tensors a layer instead of 14. llama.cpp
 * computes the same from both, with one larger product instead of three.
 */
export function fuseQkv(tensors: readonly MatchedTensor[]): MatchedTensor[] {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]))
  return tensors.flatMap((tensor) => {
    if (/\.attn_[kv]\./.test(tensor.name)) return []
    if (!tensor.name.includes('.attn_q.')) return [tensor]
    const parts = ['.attn_q.', '.attn_k.', '.attn_v.'].map((part) => byName.get(tensor.name.replace('.attn_q.', part))!)
    const rows = parts.reduce((sum, { shape }) => sum + shape.at(-1)!, 0)
    return [
      {
        name: tensor.name.replace('.attn_q.', '.attn_qkv.'),
        shape: [...tensor.shape.slice(0, -1), rows],
        sources: parts.flatMap(({ sources }) => sources),
      },
    ]
  })
}

function checkSource({ name, dtype, shape }: SafetensorsTensor, expected: readonly number[]): void {
  const found = shape.toReversed()
  if (found.length !== expected.length || found.some((length, index) => length !== expected[index])) {
    throw invalidCheckpoint(
      `${name} has the shape [${shape.join(', ')}]; config.json asks for [${expected.toReversed().join(', ')}]`,
    )
  }
  if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16') {
    throw invalidCheckpoint(`${name} has the type ${dtype}; F32, F16 and BF16 can be converted`)
  }
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, 3).join(', ')
  return names.length > 3 ? `${shown} and ${names.length - 3} more tensors` : shown
}
