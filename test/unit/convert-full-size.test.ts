import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type GgmlTypeName, tensorByteLength } from '../../gguf/index.js'
import type { SafetensorsTensor } from '../../gguf/safetensors.js'
import { fuseQkv, type MatrixType, matchTensors, tensorType } from '../../gguf/tensor-map.js'

// The table of Phi-2, written out: nothing here is taken from the code under test.
const LAYERS = 32
const E = 2560
const F = 10240
const V = 51200

type Row = [gguf: string, shape: number[], isMatrix: boolean]

/** One tensor of the checkpoint: name and shape in PyTorch's order. */
type Stored = [name: string, shape: number[]]

const attentionSeparate = (n: number): Row[] => [
  [`blk.${n}.attn_q.weight`, [E, E], true],
  [`blk.${n}.attn_q.bias`, [E], false],
  [`blk.${n}.attn_k.weight`, [E, E], true],
  [`blk.${n}.attn_k.bias`, [E], false],
  [`blk.${n}.attn_v.weight`, [E, E], true],
  [`blk.${n}.attn_v.bias`, [E], false],
]

const attentionFused = (n: number): Row[] => [
  [`blk.${n}.attn_qkv.weight`, [E, 3 * E], true],
  [`blk.${n}.attn_qkv.bias`, [3 * E], false],
]

function table(attention: (n: number) => Row[]): Row[] {
  const layer = (n: number): Row[] => [
    [`blk.${n}.attn_norm.weight`, [E], false],
    [`blk.${n}.attn_norm.bias`, [E], false],
    ...attention(n),
    [`blk.${n}.attn_output.weight`, [E, E], true],
    [`blk.${n}.attn_output.bias`, [E], false],
    [`blk.${n}.ffn_up.weight`, [E, F], true],
    [`blk.${n}.ffn_up.bias`, [F], false],
    [`blk.${n}.ffn_down.weight`, [F, E], true],
    [`blk.${n}.ffn_down.bias`, [E], false],
  ]
  return [
    ['token_embd.weight', [E, V], true],
    ...Array.from({ length: LAYERS }, (_, n) => layer(n)).flat(),
    ['output_norm.weight', [E], false],
    ['output_norm.bias', [E], false],
    ['output.weight', [E, V], true],
    ['output.bias', [V], false],
  ]
}

const pair = (name: string, rows: number, columns: number): Stored[] => [
  [`${name}.weight`, [rows, columns]],
  [`${name}.bias`, [rows]],
]
const norm = (name: string): Stored[] => [
  [`${name}.weight`, [E]],
  [`${name}.bias`, [E]],
]
const layers = (layer: (n: number) => Stored[]) => Array.from({ length: LAYERS }, (_, n) => layer(n)).flat()

const CHECKPOINTS: Record<string, Stored[]> = {
  current: [
    ['model.embed_tokens.weight', [V, E]],
    ...layers((n) => [
      ...norm(`model.layers.${n}.input_layernorm`),
      ...pair(`model.layers.${n}.self_attn.q_proj`, E, E),
      ...pair(`model.layers.${n}.self_attn.k_proj`, E, E),
      ...pair(`model.layers.${n}.self_attn.v_proj`, E, E),
      ...pair(`model.layers.${n}.self_attn.dense`, E, E),
      ...pair(`model.layers.${n}.mlp.fc1`, F, E),
      ...pair(`model.layers.${n}.mlp.fc2`, E, F),
    ]),
    ...norm('model.final_layernorm'),
    ...pair('lm_head', V, E),
  ],
  old: [
    ['transformer.embd.wte.weight', [V, E]],
    ...layers((n) => [
      ...norm(`transformer.h.${n}.ln`),
      ...pair(`transformer.h.${n}.mixer.Wqkv`, 3 * E, E),
      ...pair(`transformer.h.${n}.mixer.out_proj`, E, E),
      ...pair(`transformer.h.${n}.mlp.fc1`, F, E),
      ...pair(`transformer.h.${n}.mlp.fc2`, E, F),
    ]),
    ...norm('lm_head.ln'),
    ...pair('lm_head.linear', V, E),
  ],
}

/** A checkpoint in F16 of which only the list of tensors exists. */
function header(stored: readonly Stored[]): Map<string, SafetensorsTensor> {
  let offset = 0
  return new Map(
    stored.map(([name, shape]) => {
      const byteLength = 2 * shape.reduce((product, length) => product * length, 1)
      offset += byteLength
      const tensor = { name, dtype: 'F16', shape, path: 'nowhere', offset: offset - byteLength, byteLength }
      return [name, tensor] as const
    }),
  )
}

const SIZES = { layers: LAYERS, embeddingSize: E, feedForwardSize: F, vocabularySize: V }
/** Bytes of all tensors. */
const TOTALS: [MatrixType, number][] = [
  ['f32', 11_118_735_360],
  ['f16', 5_561_282_560],
  ['bf16', 5_561_282_560],
  ['q8_0', 2_956_226_560],
]

for (const [naming, stored] of Object.entries(CHECKPOINTS)) {
  for (const [form, count, rows] of [
    ['separate', 453, table(attentionSeparate)],
    ['fused', 325, table(attentionFused)],
  ] as const) {
    test(`Phi-2 in the ${naming} naming becomes ${count} tensors, ${form}, of the known names, shapes, types and bytes`, () => {
      const separate = matchTensors(SIZES, header(stored))
      const tensors = form === 'fused' ? fuseQkv(separate) : separate
      assert.equal(tensors.length, count)
      for (const [type, total] of TOTALS) {
        const found = tensors.map((tensor) => [tensor.name, tensor.shape, tensorType(type, tensor)])
        const expected = rows.map(([name, shape, isMatrix]) => [name, shape, isMatrix ? type : 'f32'])
        assert.deepEqual(found, expected)
        const bytes = rows.map(([, shape, isMatrix]) =>
          tensorByteLength((isMatrix ? type : 'f32') as GgmlTypeName, shape),
        )
        assert.equal(
          bytes.reduce((sum, length) => sum + length, 0),
          total,
        )
      }
    })
  }

  test(`every byte of a checkpoint in the ${naming} naming is used exactly once`, () => {
    const sources = fuseQkv(matchTensors(SIZES, header(stored))).flatMap((tensor) => tensor.sources)
    let end = 0
    for (const { offset, byteLength } of sources.toSorted((a, b) => a.offset - b.offset)) {
      assert.equal(offset, end)
      end = offset + byteLength
    }
    assert.equal(end, 2 * 2_779_683_840)
  })
}

test('the parts of an old matrix are its three thirds, in the order query, key, value', () => {
  const checkpoint = header(CHECKPOINTS.old!)
  const tensors = new Map(matchTensors(SIZES, checkpoint).map((tensor) => [tensor.name, tensor.sources]))
  for (const [kind, third] of [
    ['weight', 2 * E * E],
    ['bias', 2 * E],
  ] as const) {
    const { offset } = checkpoint.get(`transformer.h.31.mixer.Wqkv.${kind}`)!
    for (const [index, part] of ['q', 'k', 'v'].entries()) {
      const [source, more] = tensors.get(`blk.31.attn_${part}.${kind}`)!
      assert.equal(more, undefined)
      assert.deepEqual([source!.offset, source!.byteLength], [offset + index * third, third])
    }
  }
})

test('a matrix whose rows are no whole Q8_0 blocks becomes F16 in a Q8_0 file, as llama.cpp has it', () => {
  assert.equal(tensorType('q8_0', { name: 'blk.0.attn_q.weight', shape: [80, 80] }), 'f16')
  assert.equal(tensorType('q8_0', { name: 'blk.0.attn_q.weight', shape: [96, 80] }), 'q8_0')
})
