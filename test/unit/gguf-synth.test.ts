import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { f16ToF32 } from '../../gguf/half.js'
import { convert, readHeader, type SynthOptions, synth } from '../../gguf/index.js'
import { SMALL, temporaryFolder, tensorBytes, writeCheckpoint } from './gguf-fixture.js'

/** A GGUF file with the small vocabulary of the fixtures. */
async function smallVocabulary(t: TestContext): Promise<string> {
  const folder = await temporaryFolder(t)
  await writeCheckpoint(folder)
  await convert({ from: folder, to: join(folder, 'vocabulary.gguf') })
  return join(folder, 'vocabulary.gguf')
}

const SIZE = { layers: 2, embeddingSize: 320, heads: 4 }

async function synthesize(t: TestContext, options: Partial<SynthOptions> = {}) {
  const to = join(await temporaryFolder(t), 'random.gguf')
  const result = await synth({ to, ...SIZE, vocabulary: await smallVocabulary(t), ...options })
  return { to, result, header: await readHeader(to) }
}

async function hash(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex')
}

test('the same seed gives the same file and another seed another one', async (t) => {
  const one = await hash((await synthesize(t)).to)
  assert.equal(await hash((await synthesize(t)).to), one)
  assert.notEqual(await hash((await synthesize(t, { seed: 2 })).to), one)
})

test('the file has the shape that was asked for and the vocabulary that was given', async (t) => {
  const { to, result, header } = await synthesize(t, { feedForward: 640, layers: 3 })
  const value = (key: string) => header.metadata.get(key)?.value
  assert.equal(value('general.architecture'), 'phi2')
  assert.deepEqual(
    ['block_count', 'embedding_length', 'feed_forward_length', 'attention.head_count', 'rope.dimension_count'].map(
      (key) => value(`phi2.${key}`),
    ),
    [3, 320, 640, 4, 32],
  )
  assert.equal((value('tokenizer.ggml.tokens') as string[]).length, SMALL.vocabulary)
  assert.equal(value('tokenizer.ggml.eos_token_id'), 13)
  assert.equal(header.tensors.length, 14 * 3 + 5)
  assert.deepEqual(header.tensors.find(({ name }) => name === 'blk.2.ffn_down.weight')?.shape, [640, 320])
  assert.deepEqual([result.path, result.tensors, result.bytes], [to, 47, (await stat(to)).size])
})

test('weights spread as at the start of training, less where layers add up; norms lie around 1 and biases around 0', async (t) => {
  const { to } = await synthesize(t, { type: 'f32' })
  const floats = async (name: string) => new Float32Array((await tensorBytes(to, name)).buffer)
  assert.ok(Math.abs(deviation(await floats('blk.0.ffn_up.weight')) - 0.02) < 0.001)
  assert.ok(Math.abs(deviation(await floats('blk.1.ffn_down.weight')) - 0.01) < 0.001)
  assert.ok((await floats('blk.1.attn_norm.weight')).every((value) => Math.abs(value - 1) <= 0.125))
  const biases = await Promise.all(['q', 'k', 'v'].map((part) => floats(`blk.1.attn_${part}.bias`)))
  for (const bias of biases) assert.ok(bias.every((value) => Math.abs(value) <= 0.01))
  assert.notDeepEqual(biases[0], biases[1])
  assert.notDeepEqual(biases[1], biases[2])
  const rows = await floats('output.weight')
  assert.notDeepEqual(rows.slice(0, 320), rows.slice(320, 640))
})

test('q4_0 and q8_0 blocks decode to weights of the same spread around 0', async (t) => {
  for (const [type, decode] of [
    ['q4_0', decodeQ4],
    ['q8_0', decodeQ8],
  ] as const) {
    const { to, header } = await synthesize(t, { type })
    assert.equal(header.tensors.find(({ name }) => name === 'blk.0.ffn_up.weight')?.type, type)
    const weights = decode(await tensorBytes(to, 'blk.0.ffn_up.weight'))
    assert.equal(weights.length, 320 * 1280)
    assert.ok(Math.abs(deviation(weights) - 0.02) < 0.001, type)
    assert.ok(Math.abs(weights.reduce((sum, weight) => sum + weight, 0) / weights.length) < 0.0005, type)
  }
})

test('the output matrix of a q4_0 file is q6_k, or q8_0 where its rows are no multiple of 256', async (t) => {
  const output = async (options: Partial<SynthOptions>) => {
    const { to, header } = await synthesize(t, { type: 'q4_0', layers: 1, ...options })
    return { to, type: header.tensors.find(({ name }) => name === 'output.weight')?.type }
  }
  assert.equal((await output({ embeddingSize: 320, heads: 4 })).type, 'q8_0')
  const { to, type } = await output({ embeddingSize: 512, heads: 4 })
  assert.equal(type, 'q6_k')
  const weights = decodeQ6(await tensorBytes(to, 'output.weight'))
  assert.ok(Math.abs(deviation(weights) - 0.02) < 0.002)
})

test('a checkpoint folder serves as the vocabulary, padded to Phi-2’s 51200 rows', async (t) => {
  const folder = await temporaryFolder(t)
  await writeCheckpoint(folder)
  const { header } = await synthesize(t, { vocabulary: folder, layers: 1, embeddingSize: 32, heads: 1, type: 'q4_0' })
  const tokens = header.metadata.get('tokenizer.ggml.tokens')?.value as string[]
  assert.deepEqual([tokens.length, tokens[13], tokens[51199]], [51200, '<|endoftext|>', '[PAD51199]'])
  assert.deepEqual(header.tensors[0]?.shape, [32, 51200])
})

test('sizes that make no Phi-2 are refused', async () => {
  const wrong = (options: object) => synth({ to: 'x.gguf', ...options } as SynthOptions)
  const range = { name: 'RangeError', code: 'PHI2_INVALID_OPTION' }
  await assert.rejects(wrong({ layers: 0 }), range)
  await assert.rejects(wrong({ embeddingSize: 300 }), range)
  await assert.rejects(wrong({ embeddingSize: 320, heads: 7 }), range)
  await assert.rejects(wrong({ feedForward: 100 }), range)
  await assert.rejects(wrong({ embeddingSize: 32, heads: 8 }), range)
  await assert.rejects(wrong({ type: 'q3' }), range)
  await assert.rejects(wrong({ seed: -1 }), range)
  await assert.rejects(wrong({ layers: '2' }), { name: 'TypeError', code: 'PHI2_INVALID_OPTION' })
  await assert.rejects(wrong({ vocabulary: '' }), { name: 'TypeError', code: 'PHI2_INVALID_OPTION' })
})

test('an older file stays where it may not be replaced', async (t) => {
  const to = join(await temporaryFolder(t), 'x.gguf')
  const vocabulary = await smallVocabulary(t)
  await writeFile(to, 'older')
  await assert.rejects(synth({ to, ...SIZE, vocabulary, overwrite: false }), {
    code: 'PHI2_IO',
    message: /x\.gguf exists already/,
  })
  assert.equal(await readFile(to, 'utf8'), 'older')
  await synth({ to, ...SIZE, vocabulary })
  assert.equal((await readFile(to)).toString('latin1', 0, 4), 'GGUF')
  await assert.rejects(synth({ to: vocabulary, ...SIZE, vocabulary }), { code: 'PHI2_INVALID_OPTION' })
  assert.equal((await readHeader(vocabulary)).metadata.get('general.file_type')?.value, 1)
})

test('a vocabulary without tokens is refused and an abort leaves nothing behind', async (t) => {
  const folder = await temporaryFolder(t)
  const to = join(folder, 'x.gguf')
  const vocabulary = await smallVocabulary(t)
  const controller = new AbortController()
  const onProgress = () => controller.abort(new Error('enough'))
  await assert.rejects(synth({ to, ...SIZE, vocabulary, signal: controller.signal, onProgress }), /enough/)
  await assert.rejects(synth({ to, ...SIZE, vocabulary: join(folder, 'none.gguf') }), { code: 'PHI2_MODEL_NOT_FOUND' })
  assert.deepEqual(await readdir(folder), [])
})

function deviation(values: Float32Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length)
}

function half(view: DataView, at: number): number {
  const float = new Float32Array(1)
  f16ToF32(Uint16Array.of(view.getUint16(at, true)), float)
  return float[0]!
}

/** Block layouts as ggml-common.h has them. */
function decodeQ4(bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer)
  return Float32Array.from({ length: (bytes.length / 18) * 32 }, (_, i) => {
    const block = Math.floor(i / 32) * 18
    const byte = view.getUint8(block + 2 + (i % 16))
    return half(view, block) * ((i % 32 < 16 ? byte & 15 : byte >> 4) - 8)
  })
}

function decodeQ8(bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer)
  return Float32Array.from({ length: (bytes.length / 34) * 32 }, (_, i) => {
    const block = Math.floor(i / 32) * 34
    return half(view, block) * view.getInt8(block + 2 + (i % 32))
  })
}

/** The order of the weights within a block does not matter to their spread, so it is not followed here. */
function decodeQ6(bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer)
  return Float32Array.from({ length: (bytes.length / 210) * 256 }, (_, i) => {
    const block = Math.floor(i / 256) * 210
    const at = i % 256
    const low = (view.getUint8(block + (at >> 1)) >> (4 * (at & 1))) & 15
    const high = (view.getUint8(block + 128 + (at >> 2)) >> (2 * (at & 3))) & 3
    return half(view, block + 208) * view.getInt8(block + 192 + (at >> 4)) * ((low | (high << 4)) - 32)
  })
}
