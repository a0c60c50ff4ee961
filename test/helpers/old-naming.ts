import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Old module → the current modules that it stacks: the remote-code naming of before January 2024. */
const OLD_MODULES: readonly (readonly [old: string, current: readonly string[]])[] = [
  ['transformer.embd.wte', ['model.embed_tokens']],
  ['transformer.h.N.ln', ['model.layers.N.input_layernorm']],
  [
    'transformer.h.N.mixer.Wqkv',
    ['model.layers.N.self_attn.q_proj', 'model.layers.N.self_attn.k_proj', 'model.layers.N.self_attn.v_proj'],
  ],
  ['transformer.h.N.mixer.out_proj', ['model.layers.N.self_attn.dense']],
  ['transformer.h.N.mlp.fc1', ['model.layers.N.mlp.fc1']],
  ['transformer.h.N.mlp.fc2', ['model.layers.N.mlp.fc2']],
  ['lm_head.ln', ['model.final_layernorm']],
  ['lm_head.linear', ['lm_head']],
]

interface StoredTensor {
  dtype: string
  shape: number[]
  bytes: Uint8Array
}

/**
 * Writes the checkpoint in the folder `from` once more, with the tensor names and the config.json of the code that came
 * with Phi-2 before January 2024, into the empty folder `to`. Everything else is copied. Shares no code with what it tests.
 */
export async function reexpressInOldNaming(from: string, to: string): Promise<void> {
  const names = await readdir(from)
  const tensors = new Map<string, StoredTensor>()
  for (const name of names) {
    if (name.endsWith('.safetensors')) readTensors(await readFile(join(from, name)), tensors)
    else if (name !== 'config.json' && name !== 'model.safetensors.index.json')
      await copyFile(join(from, name), join(to, name))
  }
  const config = JSON.parse(await readFile(join(from, 'config.json'), 'utf8'))
  await writeFile(join(to, 'config.json'), JSON.stringify(oldConfig(config)))
  await writeFile(join(to, 'model.safetensors'), safetensors(oldTensors(tensors, config.num_hidden_layers)))
}

function oldConfig(config: Record<string, number>): Record<string, unknown> {
  const headSize = config.hidden_size! / config.num_attention_heads!
  return {
    activation_function: config.hidden_act,
    architectures: ['PhiForCausalLM'],
    attn_pdrop: 0,
    initializer_range: 0.02,
    layer_norm_epsilon: config.layer_norm_eps,
    model_type: 'phi-msft',
    n_embd: config.hidden_size,
    n_head: config.num_attention_heads,
    n_head_kv: null,
    n_inner: null,
    n_layer: config.num_hidden_layers,
    n_positions: config.max_position_embeddings,
    rotary_dim: Math.round(config.partial_rotary_factor! * headSize),
    tie_word_embeddings: false,
    torch_dtype: config.torch_dtype,
    vocab_size: config.vocab_size,
  }
}

function oldTensors(tensors: ReadonlyMap<string, StoredTensor>, layers: number): Map<string, StoredTensor> {
  const old = new Map<string, StoredTensor>()
  for (const [oldName, currentNames] of OLD_MODULES) {
    for (let layer = 0; layer < (oldName.includes('.N.') ? layers : 1); layer++) {
      for (const kind of ['weight', 'bias']) {
        const name = (template: string) => `${template.replace('.N.', `.${layer}.`)}.${kind}`
        const parts = currentNames.map((current) => tensors.get(name(current)))
        if (parts[0] === undefined) continue
        old.set(name(oldName), stack(parts as StoredTensor[]))
      }
    }
  }
  return old
}

/** One below the other. */
function stack(parts: readonly StoredTensor[]): StoredTensor {
  const [first] = parts as [StoredTensor]
  const rows = parts.reduce((sum, { shape }) => sum + shape[0]!, 0)
  return { ...first, shape: [rows, ...first.shape.slice(1)], bytes: Buffer.concat(parts.map(({ bytes }) => bytes)) }
}

function readTensors(file: Buffer, into: Map<string, StoredTensor>): void {
  const dataStart = 8 + Number(file.readBigUInt64LE(0))
  for (const [name, entry] of Object.entries(JSON.parse(file.toString('utf8', 8, dataStart)))) {
    if (name === '__metadata__') continue
    const { dtype, shape, data_offsets } = entry as { dtype: string; shape: number[]; data_offsets: [number, number] }
    const [begin, end] = data_offsets
    into.set(name, { dtype, shape, bytes: file.subarray(dataStart + begin, dataStart + end) })
  }
}

function safetensors(tensors: ReadonlyMap<string, StoredTensor>): Buffer {
  let offset = 0
  const entries = [...tensors].map(([name, { dtype, shape, bytes }]) => {
    const begin = offset
    offset += bytes.length
    return [name, { dtype, shape, data_offsets: [begin, offset] }] as const
  })
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  return Buffer.concat([length, header, ...[...tensors.values()].map(({ bytes }) => bytes)])
}
