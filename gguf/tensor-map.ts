import { invalidCheckpoint } from './checkpoint-json.js'
import type { GgmlTypeName } from './format.js'
import type { ModelConfig } from './model-config.js'
import type { SafetensorsTensor } from './safetensors.js'

export type FloatType = Extract<GgmlTypeName, 'f32' | 'f16' | 'bf16'>

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

/** GGUF module → module in the checkpoint. Another naming of the same modules is another table of this kind. */
type Naming = { readonly [name: string]: string }

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

/** Buffers that some versions of Transformers saved; they are computed, not learned. */
const IGNORED = /\.rotary_emb\.inv_freq$|\.attention\.(masked_)?bias$/

export interface PlannedTensor {
  name: string
  /** GGUF order. */
  shape: number[]
  /** What the checkpoint calls it. */
  checkpointName: string
}

/** Every tensor of a Phi-2 GGUF file in the order of the graph: 14 in each layer and 5 around them. */
export function planTensors(sizes: Sizes, naming = TRANSFORMERS_NAMING): PlannedTensor[] {
  const plan = ({ name, weight, bias }: Module, layer?: number): PlannedTensor[] => {
    const inLayer = (template: string) => template.replace('N', String(layer))
    const tensor = (kind: string, shape: number[]): PlannedTensor => ({
      name: `${inLayer(name)}.${kind}`,
      shape,
      checkpointName: `${inLayer(naming[name]!)}.${kind}`,
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
 * The type of a tensor in a file of type `type`: matrices take it, vectors, norms and biases stay F32
 * (`prepare_tensors` in llama.cpp's conversion/base.py).
 */
export function tensorType(type: FloatType, { name, shape }: Pick<PlannedTensor, 'name' | 'shape'>): FloatType {
  const isMatrix = shape.length > 1 && name.endsWith('.weight') && !name.endsWith('_norm.weight')
  return isMatrix ? type : 'f32'
}

export interface MatchedTensor extends PlannedTensor {
  source: SafetensorsTensor
}

/**
 * Finds each planned tensor in a checkpoint.
 * @throws {Phi2Error} `PHI2_INVALID_CHECKPOINT` when one is missing, has another shape or a type other than F32, F16
 * and BF16, or when tensors are left over that Phi-2 does not have (adapters, quantized or fine-tuned variants).
 */
export function matchTensors(
  planned: readonly PlannedTensor[],
  checkpoint: ReadonlyMap<string, SafetensorsTensor>,
): MatchedTensor[] {
  const left = new Set(checkpoint.keys())
  const missing: string[] = []
  const matched: MatchedTensor[] = []
  for (const tensor of planned) {
    const source = checkpoint.get(tensor.checkpointName)
    if (source === undefined) {
      missing.push(tensor.checkpointName)
      continue
    }
    left.delete(tensor.checkpointName)
    checkSource(source, tensor.shape)
    matched.push({ ...tensor, source })
  }
  if (missing.length > 0) throw invalidCheckpoint(`the checkpoint lacks ${list(missing)}${hint(checkpoint)}`)
  const unexpected = [...left].filter((name) => !IGNORED.test(name))
  if (unexpected.length > 0) {
    throw invalidCheckpoint(
      `the checkpoint holds ${list(unexpected)}, which Phi-2 does not have; merge adapters before converting`,
    )
  }
  return matched
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

function hint(checkpoint: ReadonlyMap<string, SafetensorsTensor>): string {
  const old = checkpoint.has('transformer.embd.wte.weight') || checkpoint.has('layers.0.wte.weight')
  return old ? '; its names are those of before January 2024: use a later revision of the checkpoint' : ''
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, 3).join(', ')
  return names.length > 3 ? `${shown} and ${names.length - 3} more tensors` : shown
}
