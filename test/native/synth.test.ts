import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { convert, quantize, readHeader, SYNTH_TYPES, synth, synthCheckpoint } from '../../gguf/index.js'
import { MIXTURE_NAMES } from '../../gguf/mixtures.js'
import { evaluate } from '../../src/evaluate.js'
import { Phi2 } from '../../src/phi2.js'
import { temporaryFolder } from '../helpers/model.js'
import { tensorBytes, writeCheckpoint } from '../unit/gguf-fixture.js'

const folder = temporaryFolder()

/** A vocabulary of 24 tokens, so that files are small where nothing is generated. */
const vocabulary = join(folder, 'vocabulary.gguf')
await writeCheckpoint(folder)
await convert({ from: folder, to: vocabulary })

async function typesIn(path: string): Promise<Record<string, string>> {
  const { tensors, metadata } = await readHeader(path)
  const types = Object.fromEntries(tensors.map(({ name, type }) => [name, type]))
  return { ...types, fileType: String(metadata.get('general.file_type')?.value) }
}

// As many layers as the rules need to show: eighths and sixteenths that are not whole, and every third between.
const SIZES = [
  { layers: 20, embeddingSize: 256, heads: 4, feedForward: 256 },
  // Rows of 288 are no multiple of 256, so large blocks do not fit; those of ffn_down are.
  { layers: 18, embeddingSize: 288, heads: 4, feedForward: 512 },
]

for (const size of SIZES) {
  test(`tensors have the types that llama.cpp’s quantizer gives them, with rows of ${size.embeddingSize}`, async () => {
    const from = join(folder, 'f16.gguf')
    await synth({ to: from, ...size, vocabulary })
    // the source itself is in f16
    for (const type of MIXTURE_NAMES.filter((name) => name !== 'f16')) {
      const [quantized, direct] = [join(folder, 'quantized.gguf'), join(folder, 'direct.gguf')]
      await quantize({ from, to: quantized, type })
      await synth({ to: direct, ...size, vocabulary, type })
      assert.deepEqual(await typesIn(direct), await typesIn(quantized), type)
    }
  })
}

test('llama.cpp reads weights of the right spread around 0 out of the blocks of every type', async () => {
  for (const type of MIXTURE_NAMES.filter((name) => name !== 'f32')) {
    const [written, floats] = [join(folder, 'written.gguf'), join(folder, 'floats.gguf')]
    await synth({ to: written, layers: 8, embeddingSize: 256, heads: 4, vocabulary, type })
    await quantize({ from: written, to: floats, type: 'f32', allowRequantize: true })
    for (const module of ['attn_q', 'attn_v', 'attn_output', 'ffn_up', 'ffn_down']) {
      for (const layer of [0, 5]) {
        const name = `blk.${layer}.${module}.weight`
        const spread = module === 'attn_output' || module === 'ffn_down' ? 0.005 : 0.02
        const weights = new Float32Array((await tensorBytes(floats, name)).buffer)
        const { mean, deviation } = distribution(weights)
        assert.ok(Math.abs(mean) < spread / 50, `${type} ${name}: mean ${mean}`)
        assert.ok(Math.abs(deviation / spread - 1) < 0.05, `${type} ${name}: deviation ${deviation}`)
      }
    }
  }
})

test('logits of every type are finite and unlike each other over a prompt of 1000 tokens', async () => {
  const tokens = Int32Array.from({ length: 1000 }, (_, i) => (i * 7) % 13)
  for (const type of SYNTH_TYPES) {
    const to = join(folder, 'logits.gguf')
    await synth({ to, layers: 3, embeddingSize: 256, heads: 4, vocabulary, type })
    await using phi2 = await Phi2.load({ model: to })
    const { engine, dispatcher } = phi2.internals
    const { logits } = await evaluate(engine, dispatcher, tokens, { logitPositions: [0, 499, 999] })
    const size = phi2.info.vocabularySize
    const rows = [0, 1, 2].map((row) => logits.subarray(row * size, (row + 1) * size))
    assert.ok(logits.every(Number.isFinite), type)
    for (const row of rows) {
      // 256 weights of spread 0.02 times features of variance 1 give logits around 0.32; they are only 24
      const { deviation } = distribution(row)
      assert.ok(Math.abs(deviation - 0.32) < 0.15, `${type}: ${deviation}`)
    }
    assert.notDeepEqual(rows[0], rows[1], type)
    assert.notDeepEqual(rows[1], rows[2], type)
    await phi2.close()
    await rm(to)
  }
})

function distribution(values: Float32Array): { mean: number; deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
  return { mean, deviation: Math.sqrt(variance) }
}

test('a synthetic checkpoint converts to a model that loads and generates', async () => {
  const [from, to] = [join(folder, 'hf'), join(folder, 'converted.gguf')]
  await synthCheckpoint({ to: from, layers: 2, embeddingSize: 320, heads: 4, shardBytes: 40_000_000 })
  await convert({ from, to })
  await using phi2 = await Phi2.load({ model: to })
  const answer = await phi2.complete('The lighthouse', { maxTokens: 8, temperature: 0 })
  assert.equal(answer.usage.promptTokens, (await phi2.tokenize('The lighthouse')).length)
  assert.ok(answer.usage.completionTokens >= 1)
})
