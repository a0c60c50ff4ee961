import assert from 'node:assert/strict'
import { appendFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { FileTypeName } from '../../gguf/file-types.js'
import { type GgufMetadata, type InspectOptions, inspect, readHeader, synth, writeGguf } from '../../gguf/index.js'
import { sizeDeviation } from '../../gguf/inspect-remarks.js'
import { estimateMemory, estimateSpeed } from '../../gguf/memory.js'
import { fuseAttention, type Model, soundModel } from '../native/gguf-variants.js'
import { temporaryFolder } from './gguf-fixture.js'

/** Inspects a sound small model after `edit`. */
async function inspected(t: TestContext, edit: (model: Model) => unknown = () => {}, options = {}) {
  const source = join(await temporaryFolder(t), 'model.gguf')
  const model = soundModel()
  edit(model)
  await model.write(source)
  return inspect({ source, ...options })
}

async function warningsOf(t: TestContext, edit: (model: Model) => unknown): Promise<string[]> {
  const { warnings, notes } = await inspected(t, edit)
  return [...warnings, ...notes].map(({ code }) => code).sort()
}

/** Of the small model, whose heads and vocabulary are not Phi-2's. */
const SMALL_CODES = ['head-size', 'no-license', 'reduced', 'vocabulary-size']

test('the embedded model is described: sizes, tokens, mixture, nothing odd', async () => {
  const { file, model, shape, tokenizer, warnings, notes, tensors, keys } = await inspect({ source: 'tiny' })
  assert.equal(file.bytes, (await stat(file.source)).size)
  assert.deepEqual([file.remote, file.version, file.alignment, file.missingBytes], [false, 3, 32, 0])
  assert.deepEqual([model.architecture, model.license, model.fileType], ['phi2', 'mit', 'q8_0'])
  assert.equal(model.parameters, 38_981_440)
  assert.deepEqual(
    model.mixture.map(({ type, tensors }) => [type, tensors]),
    [
      ['q8_0', 32],
      ['f32', 43],
    ],
  )
  assert.deepEqual(shape, {
    layers: 5,
    embeddingSize: 320,
    feedForwardSize: 1280,
    heads: 4,
    kvHeads: 4,
    headSize: 80,
    vocabularySize: 51200,
    contextSize: 2048,
  })
  assert.deepEqual(
    [tokenizer.pre, tokenizer.tokens, tokenizer.usedTokens, tokenizer.merges],
    ['phi-2', 51200, 50295, 50000],
  )
  assert.deepEqual(tokenizer.special[1], { kind: 'eos', id: 50256, text: '<|endoftext|>' })
  assert.deepEqual(warnings, [])
  assert.deepEqual(
    notes.map(({ code }) => code),
    ['reduced'],
  )
  assert.equal(tensors.length, 75)
  assert.equal(keys.length, 24)
})

test('long arrays are abbreviated unless they are asked for in full', async () => {
  const tokens = async (options: Partial<InspectOptions>) =>
    (await inspect({ source: 'tiny', ...options })).keys.find(({ key }) => key === 'tokenizer.ggml.tokens')!
  const short = await tokens({})
  assert.deepEqual([short.type, short.of, short.length], ['array', 'string', 51200])
  assert.deepEqual(short.value, ['!', '"', '#', '$', '%', '&', "'", '('])
  assert.equal(((await tokens({ fullValues: true })).value as string[]).length, 51200)
})

test('the result is plain data: JSON keeps it, 64-bit integers and odd floats included', async (t) => {
  const source = join(await temporaryFolder(t), 'keys.gguf')
  const metadata: GgufMetadata = new Map([
    ['small', { type: 'uint64', value: 7n }],
    ['large', { type: 'uint64', value: 2n ** 64n - 1n }],
    ['nan', { type: 'float32', value: Number.NaN }],
    ['epsilon', { type: 'float32', value: Math.fround(1e-5) }],
    ['pi', { type: 'float64', value: Math.PI }],
    ['flags', { type: 'array', of: 'bool', value: [true, false] }],
  ])
  await writeGguf(source, { metadata, tensors: [] })
  const { keys, model, memory } = JSON.parse(JSON.stringify(await inspect({ source })))
  assert.deepEqual(
    keys.map(({ value }: { value: unknown }) => value),
    [7, '18446744073709551615', 'NaN', 0.00001, Math.PI, [true, false]],
  )
  assert.deepEqual([model.parameters, memory], [0, undefined])
})

test('what is odd about a file is said, and only that', async (t) => {
  const cases: [name: string, edit: (model: Model) => unknown, ...codes: string[]][] = [
    ['the small model as it is', () => {}],
    ['no pre-tokenizer', (model) => model.remove('tokenizer.ggml.pre'), 'no-pre-tokenizer'],
    ['the pre-tokenizer default', (model) => model.text('tokenizer.ggml.pre', 'default'), 'no-pre-tokenizer'],
    ['the pre-tokenizer gpt-2', (model) => model.text('tokenizer.ggml.pre', 'gpt-2')],
    ['another pre-tokenizer', (model) => model.text('tokenizer.ggml.pre', 'llama-bpe'), 'other-pre-tokenizer'],
    ['no end of text', (model) => model.remove('tokenizer.ggml.eos_token_id'), 'no-eos'],
    ['a fused matrix', fuseAttention, 'fused-qkv'],
    ['a type that cannot run', (model) => model.retype('blk.0.ffn_up.weight', 'i32'), 'tensor-type'],
    ['a matrix less', (model) => model.drop('blk.0.ffn_up.weight'), 'missing-tensors'],
    ['no biases of q, k and v', (model) => model.drop(...['q', 'k', 'v'].map((part) => `blk.0.attn_${part}.bias`))],
    ['small alignment', (model) => model.set('general.alignment', 'uint32', 8), 'alignment'],
    ['a part of a split model', (model) => model.set('split.count', 'uint32', 2), 'split'],
    [
      'the research license',
      (model) => model.text('general.license', 'other').text('general.license.name', 'microsoft-research-license'),
      'research-license',
    ],
  ]
  for (const [name, edit, ...codes] of cases) {
    const expected = [
      ...SMALL_CODES.filter((code) => code !== 'no-license' || name !== 'the research license'),
      ...codes,
    ]
    assert.deepEqual(await warningsOf(t, edit), expected.sort(), name)
  }
  assert.deepEqual(await warningsOf(t, (model) => model.text('general.architecture', 'llama')), [
    'no-license',
    'not-phi2',
  ])
  assert.deepEqual(await warningsOf(t, (model) => model.remove('phi2.block_count')), ['no-license', 'shape-unknown'])
})

test('a file of another architecture is still described', async (t) => {
  const { model, shape, memory, speed, warnings } = await inspected(t, (model) => {
    for (const [key, value] of [...model.metadata]) {
      if (key.startsWith('phi2.')) model.metadata.set(key.replace('phi2', 'llama'), value)
    }
    model.text('general.architecture', 'llama').set('llama.attention.head_count_kv', 'uint32', 1)
  })
  assert.equal(model.architecture, 'llama')
  assert.deepEqual([shape?.layers, shape?.heads, shape?.kvHeads, shape?.headSize], [1, 2, 1, 128])
  assert.equal(memory?.kvPerToken, 2 * 1 * 1 * 128 * 2)
  assert.ok(speed && speed.weightBytesPerToken > 0)
  assert.match(warnings[0]!.message, /The architecture is "llama"/)
})

test('a file cut in its tensors is described and tells how much is missing', async (t) => {
  const source = join(await temporaryFolder(t), 'cut.gguf')
  await soundModel().write(source)
  const { size } = await stat(source)
  await truncate(source, size - 1000)
  const { file, warnings, tensors } = await inspect({ source })
  const last = tensors.at(-1)!
  assert.equal(file.missingBytes, last.offset + last.bytes - (size - 1000))
  assert.match(warnings[0]!.message, /are missing/)
  assert.equal(warnings[0]!.code, 'truncated')
  await assert.rejects(readHeader(source), /truncated or was not downloaded completely/)
  await truncate(source, 300)
  await assert.rejects(inspect({ source }), { code: 'PHI2_INVALID_GGUF', message: /not downloaded completely/ })
})

test('bytes behind the last tensor are noticed, padding or its absence is not', async (t) => {
  const source = join(await temporaryFolder(t), 'long.gguf')
  await soundModel().write(source)
  const { tensors } = await inspect({ source })
  const last = tensors.at(-1)!
  await truncate(source, last.offset + last.bytes)
  assert.equal((await inspect({ source })).file.extraBytes, 0)
  await soundModel().write(source)
  await appendFile(source, Buffer.alloc(77))
  const { file, warnings } = await inspect({ source })
  assert.equal(file.extraBytes, 77)
  assert.ok(warnings.some(({ code }) => code === 'extra-bytes'))
})

test('a full-size Phi-2 of an unusual size is noticed, one of each usual mixture is not', () => {
  const off = (type: FileTypeName, tensorBytes: number) => sizeDeviation(type, (8 * tensorBytes) / 2_779_683_840)
  const usual: [FileTypeName, ...number[]][] = [
    ['f16', 5_561_282_560],
    ['q8_0', 2_956_226_560],
    ['q5_k_m', 2_001_244_160, 2_029_096_960, 2_070_876_160],
    ['q4_k_m', 1_735_823_360, 1_789_890_560, 1_787_432_960],
    ['q3_k_m', 1_424_322_560, 1_483_304_960, 1_478_389_760],
    ['q2_k', 1_170_000_000],
  ]
  for (const [type, ...sizes] of usual) for (const size of sizes) assert.equal(off(type, size), undefined, type)
  assert.ok(off('q4_k_m', 2_390_000_000)! > 0.3)
  assert.ok(off('f16', 1_000_000_000)! < -0.8)
  assert.equal(sizeDeviation(undefined, 3), undefined)
})

test('memory of a full-size Phi-2: 327,680 bytes of KV cache a token', () => {
  const shape = {
    layers: 32,
    embeddingSize: 2560,
    feedForwardSize: 10240,
    heads: 32,
    kvHeads: 32,
    headSize: 80,
    vocabularySize: 51200,
    contextSize: 2048,
  }
  const memory = estimateMemory(shape, 1_735_823_360, 2048)
  assert.equal(memory.kvPerToken, 327_680)
  assert.equal(memory.kv, 640 * 2 ** 20)
  assert.equal(memory.total, memory.weights + memory.kv + memory.compute)
  assert.equal(estimateMemory(shape, 0, 100).kv, 256 * 327_680)
})

test('speed follows from the bytes that one token reads: 29 tok/s at 50 GB/s for Q4_K_M, 632 on an H100 for F16', () => {
  const [laptop] = estimateSpeed(1_716_162_560, 0).roofline
  assert.deepEqual([laptop!.gigabytesPerSecond, Math.floor(laptop!.tokensPerSecond)], [50, 29])
  assert.equal(estimateSpeed(5_300_000_000, 0).roofline.at(-1)!.tokensPerSecond, 632)
  const classes = [1.7e9, 2.9e9, 5.3e9, 10.6e9].map((bytes) => estimateSpeed(bytes, 0).class)
  assert.deepEqual(classes, ['fast', 'comfortable', 'reading speed', 'slow'])
})

test('all matrices are read for a token but the token embedding', async (t) => {
  const source = join(await temporaryFolder(t), 'random.gguf')
  await synth({ to: source, layers: 2, embeddingSize: 320, heads: 4, type: 'q8_0' })
  const { speed, tensors, memory } = await inspect({ source, contextSize: 512 })
  const bytes = (name: string) => tensors.find((tensor) => tensor.name === name)!.bytes
  const matrices = ['attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_up', 'ffn_down']
  const layers = [0, 1].flatMap((layer) => matrices.map((name) => bytes(`blk.${layer}.${name}.weight`)))
  assert.equal(
    speed?.weightBytesPerToken,
    layers.reduce((sum, size) => sum + size, bytes('output.weight')),
  )
  assert.equal(speed?.kvBytesAtContext, 512 * memory!.kvPerToken)
})

test('wrong options and files that are not there are refused by name', async (t) => {
  const folder = await temporaryFolder(t)
  const code = (code: string) => ({ code })
  await assert.rejects(inspect({ source: '' }), code('PHI2_INVALID_OPTION'))
  await assert.rejects(inspect({ source: 7 as never }), TypeError)
  await assert.rejects(inspect({ source: 'tiny', contextSize: 0 }), RangeError)
  await assert.rejects(inspect({ source: 'tiny', fullValues: 'yes' as never }), TypeError)
  await assert.rejects(inspect({ source: join(folder, 'no.gguf') }), code('PHI2_MODEL_NOT_FOUND'))
  await assert.rejects(inspect({ source: folder }), code('PHI2_IO'))
  await assert.rejects(inspect({ source: '/dev/zero' }), code('PHI2_IO'))
  await assert.rejects(inspect({ source: 'hf:org/name' }), code('PHI2_UNKNOWN_MODEL'))
  await assert.rejects(inspect({ source: 'tiny', signal: AbortSignal.abort(new Error('enough')) }), /enough/)
})

test('what people take for a model file is named', async (t) => {
  const source = join(await temporaryFolder(t), 'other.gguf')
  for (const [content, message] of [
    ['version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n', /Git LFS/],
    ['\n<!DOCTYPE html><html></html>', /web page/],
    ['PK\x03\x04 and so on', /ZIP/],
    [Buffer.concat([Buffer.from([200, 255, 0, 0, 0, 0, 0, 0]), Buffer.from('{"a":{}}')]), /safetensors/],
  ] as const) {
    await writeFile(source, content)
    await assert.rejects(inspect({ source }), { code: 'PHI2_INVALID_GGUF', message })
  }
})
