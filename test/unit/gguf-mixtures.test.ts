import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tensorByteLength } from '../../gguf/format.js'
import { MIXTURE_NAMES, mixtureType } from '../../gguf/mixtures.js'
import { planTensors } from '../../gguf/tensor-map.js'

const LAYERS = 32
const FULL_SIZE = planTensors({ vocabularySize: 51200, embeddingSize: 2560, feedForwardSize: 10240, layers: LAYERS })

// What llama.cpp writes today for a Phi-2 with separate q, k and v, without the header.
const BYTES = {
  f32: 11_118_735_360,
  f16: 5_561_282_560,
  bf16: 5_561_282_560,
  q8_0: 2_956_226_560,
  q6_k: 2_283_253_760,
  q5_k_m: 2_001_244_160,
  q4_k_m: 1_735_823_360,
  q4_k_s: 1_617_039_360,
  q4_0: 1_600_655_360,
  q3_k_m: 1_424_322_560,
} as const

test('a full-size Phi-2 takes as many bytes as llama.cpp gives it', () => {
  for (const [type, bytes] of Object.entries(BYTES)) {
    const sizes = FULL_SIZE.map((tensor) =>
      tensorByteLength(mixtureType(type as keyof typeof BYTES, tensor, LAYERS), tensor.shape),
    )
    assert.equal(
      sizes.reduce((sum, size) => sum + size, 0),
      bytes,
      type,
    )
  }
})

test('in q4_k_m values and the way down are q6_k in the first and last four layers and every third between', () => {
  const better = [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]
  for (const { name, shape } of FULL_SIZE) {
    const [, layer, module] = /^blk\.(\d+)\.(\w+)\.weight$/.exec(name) ?? []
    const spared =
      name === 'output.weight' || (/^(attn_v|ffn_down)$/.test(module ?? '') && better.includes(Number(layer)))
    const expected = shape.length === 1 ? 'f32' : spared ? 'q6_k' : 'q4_k'
    assert.equal(mixtureType('q4_k_m', { name, shape }, LAYERS), expected, name)
  }
})

test('norms and biases stay f32 in every type, and rows of any multiple of 32 fit', () => {
  const odd = planTensors({ vocabularySize: 100, embeddingSize: 352, feedForwardSize: 96, layers: 9 })
  for (const type of MIXTURE_NAMES) {
    for (const tensor of odd) {
      const found = mixtureType(type, tensor, 9)
      assert.ok(tensorByteLength(found, tensor.shape) > 0)
      if (tensor.shape.length === 1) assert.equal(found, 'f32')
    }
  }
})
