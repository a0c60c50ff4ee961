import assert from 'node:assert/strict'
import { copyFile, mkdir, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { sizeLabel } from '../../gguf/general-metadata.js'
import { bf16ToF32, f16ToF32 } from '../../gguf/half.js'
import { type ConvertOptions, convert, type GgufMetadata, type OutType, readHeader } from '../../gguf/index.js'
import { tokenizerMetadata } from '../../gguf/metadata.js'
import { planTensors, tensorType } from '../../gguf/tensor-map.js'
import { readTokenizerFiles } from '../../gguf/tokenizer-files.js'
import { Phi2Error, type Phi2ErrorCode } from '../../src/errors.js'
import { tinyCheckpoint } from '../helpers/model.js'
import {
  type CheckpointOptions,
  type Dtype,
  encode,
  readJson,
  SMALL,
  SMALL_MERGES,
  smallTensors,
  temporaryFolder,
  tensorBytes,
  writeCheckpoint,
  writeJson,
} from './gguf-fixture.js'

async function convertSmall(t: TestContext, checkpoint: CheckpointOptions = {}, options: Partial<ConvertOptions> = {}) {
  const from = join(await temporaryFolder(t), 'small')
  const to = join(await temporaryFolder(t), 'small.gguf')
  await mkdir(from)
  await writeCheckpoint(from, checkpoint)
  const result = await convert({ from, to, ...options })
  return { from, to, result, header: await readHeader(to) }
}

/** Converting must fail with this code and message, and leave nothing behind. */
async function fails(t: TestContext, from: string, code: Phi2ErrorCode, message: RegExp, outtype: OutType = 'f16') {
  const folder = await temporaryFolder(t)
  await assert.rejects(convert({ from, to: join(folder, 'x.gguf'), outtype }), (error) => {
    assert.ok(error instanceof Phi2Error, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  })
  assert.deepEqual(await readdir(folder), [])
}

async function checkpointFails(t: TestContext, checkpoint: CheckpointOptions, message: RegExp, code?: Phi2ErrorCode) {
  const from = await temporaryFolder(t)
  await writeCheckpoint(from, checkpoint)
  await fails(t, from, code ?? 'PHI2_INVALID_CHECKPOINT', message)
}

function plain(metadata: GgufMetadata): Record<string, [string, unknown]> {
  return Object.fromEntries(
    [...metadata].map(([key, entry]) => [key, [entry.type === 'array' ? `${entry.of}[]` : entry.type, entry.value]]),
  )
}

const E = SMALL.embedding
const F = SMALL.feedForward
const V = SMALL.vocabulary

/** GGUF name, shape in GGUF order, whether it takes the file's type, name in the checkpoint. */
const EXPECTED: [string, number[], boolean, string][] = [
  ['token_embd.weight', [E, V], true, 'model.embed_tokens.weight'],
  ...[0, 1].flatMap((n): [string, number[], boolean, string][] => [
    [`blk.${n}.attn_norm.weight`, [E], false, `model.layers.${n}.input_layernorm.weight`],
    [`blk.${n}.attn_norm.bias`, [E], false, `model.layers.${n}.input_layernorm.bias`],
    [`blk.${n}.attn_q.weight`, [E, E], true, `model.layers.${n}.self_attn.q_proj.weight`],
    [`blk.${n}.attn_q.bias`, [E], false, `model.layers.${n}.self_attn.q_proj.bias`],
    [`blk.${n}.attn_k.weight`, [E, E], true, `model.layers.${n}.self_attn.k_proj.weight`],
    [`blk.${n}.attn_k.bias`, [E], false, `model.layers.${n}.self_attn.k_proj.bias`],
    [`blk.${n}.attn_v.weight`, [E, E], true, `model.layers.${n}.self_attn.v_proj.weight`],
    [`blk.${n}.attn_v.bias`, [E], false, `model.layers.${n}.self_attn.v_proj.bias`],
    [`blk.${n}.attn_output.weight`, [E, E], true, `model.layers.${n}.self_attn.dense.weight`],
    [`blk.${n}.attn_output.bias`, [E], false, `model.layers.${n}.self_attn.dense.bias`],
    [`blk.${n}.ffn_up.weight`, [E, F], true, `model.layers.${n}.mlp.fc1.weight`],
    [`blk.${n}.ffn_up.bias`, [F], false, `model.layers.${n}.mlp.fc1.bias`],
    [`blk.${n}.ffn_down.weight`, [F, E], true, `model.layers.${n}.mlp.fc2.weight`],
    [`blk.${n}.ffn_down.bias`, [E], false, `model.layers.${n}.mlp.fc2.bias`],
  ]),
  ['output_norm.weight', [E], false, 'model.final_layernorm.weight'],
  ['output_norm.bias', [E], false, 'model.final_layernorm.bias'],
  ['output.weight', [E, V], true, 'lm_head.weight'],
  ['output.bias', [V], false, 'lm_head.bias'],
]

const DTYPES: Dtype[] = ['F32', 'F16', 'BF16']
const FLOATS = { f32: 'F32', f16: 'F16', bf16: 'BF16' } as const

for (const dtype of DTYPES) {
  for (const outtype of ['f32', 'f16', 'bf16'] as const) {
    test(`a ${dtype} checkpoint becomes ${outtype} with every tensor in its place and every weight kept`, async (t) => {
      const { to, header, result } = await convertSmall(t, { dtype }, { outtype })
      const source = smallTensors(dtype)
      assert.deepEqual(
        header.tensors.map(({ name, type, shape }) => [name, type, shape]),
        EXPECTED.map(([name, shape, takesType]) => [name, takesType ? outtype : 'f32', shape]),
      )
      for (const [name, , takesType, checkpointName] of EXPECTED) {
        const expected = encode(source.get(checkpointName)!.values, takesType ? FLOATS[outtype] : 'F32')
        assert.deepEqual(await tensorBytes(to, name), expected, name)
      }
      const parameters = [...source.values()].reduce((sum, { values }) => sum + values.length, 0)
      assert.deepEqual(result, {
        path: to,
        outtype,
        tensors: EXPECTED.length,
        parameters,
        bytes: (await stat(to)).size,
      })
    })
  }
}

test('the keys are those of llama.cpp’s converter, one for one and in order', async (t) => {
  const { header } = await convertSmall(t, {}, { name: 'small', license: 'mit' })
  const expected = {
    'general.architecture': ['string', 'phi2'],
    'general.type': ['string', 'model'],
    'general.name': ['string', 'small'],
    'general.size_label': ['string', '626K'],
    'general.license': ['string', 'mit'],
    'phi2.context_length': ['uint32', 2048],
    'phi2.embedding_length': ['uint32', 160],
    'phi2.feed_forward_length': ['uint32', 640],
    'phi2.block_count': ['uint32', 2],
    'phi2.attention.head_count': ['uint32', 2],
    'phi2.attention.head_count_kv': ['uint32', 2],
    'phi2.attention.layer_norm_epsilon': ['float32', Math.fround(1e-5)],
    'phi2.rope.dimension_count': ['uint32', 32],
    'general.file_type': ['uint32', 1],
    'tokenizer.ggml.add_bos_token': ['bool', false],
    'general.quantization_version': ['uint32', 2],
    'tokenizer.ggml.model': ['string', 'gpt2'],
    'tokenizer.ggml.pre': ['string', 'phi-2'],
    'tokenizer.ggml.tokens': [
      'string[]',
      [
        ...['a', 'b', 'c', 'Ġ', '.', 'Ċ', 'ab', 'Ġa', 'abc', 'é', '!', '0', '1', '<|endoftext|>'],
        ...['   ', '  ', '\t\t'],
        ...['[PAD17]', '[PAD18]', '[PAD19]', '[PAD20]', '[PAD21]', '[PAD22]', '[PAD23]'],
      ],
    ],
    'tokenizer.ggml.token_type': ['int32[]', [...Array(13).fill(1), 3, 4, 4, 4, ...Array(7).fill(5)]],
    'tokenizer.ggml.merges': ['string[]', SMALL_MERGES],
    'tokenizer.ggml.bos_token_id': ['uint32', 13],
    'tokenizer.ggml.eos_token_id': ['uint32', 13],
    'tokenizer.ggml.unknown_token_id': ['uint32', 13],
  }
  assert.deepEqual(Object.entries(plain(header.metadata)), Object.entries(expected))
})

test('general.file_type says what the file holds', async (t) => {
  for (const [outtype, id] of [
    ['f32', 0],
    ['f16', 1],
    ['bf16', 32],
  ] as const) {
    const { header } = await convertSmall(t, {}, { outtype })
    assert.deepEqual(header.metadata.get('general.file_type'), { type: 'uint32', value: id })
  }
})

test('auto is bf16 for a BF16 checkpoint and f16 for the others', async (t) => {
  const expected = { F32: 'f16', F16: 'f16', BF16: 'bf16' }
  for (const dtype of DTYPES) {
    const { result } = await convertSmall(t, { dtype, config: { torch_dtype: 'float64' } })
    assert.equal(result.outtype, expected[dtype])
  }
})

test('two shards and tokenizer.json give the same file as one shard and the older files', async (t) => {
  const one = await convertSmall(t, {}, { name: 'same' })
  const two = await convertSmall(t, { shards: 2, tokenizer: 'fast' }, { name: 'same' })
  assert.ok((await readFile(one.to)).equals(await readFile(two.to)))
})

test('name and license come from the folder and its model card when they are not given', async (t) => {
  const from = join(await temporaryFolder(t), 'small')
  await mkdir(from)
  await writeCheckpoint(from)
  const card = [
    '---',
    'license: mit',
    'license_link: https://example.org/LICENSE',
    'language:',
    '- en',
    'pipeline_tag: text-generation',
  ]
  await writeFile(
    join(from, 'README.md'),
    [...card, 'tags:', '- nlp', '- "code"', 'datasets: [x]', '---', '# Card', 'license: no'].join('\n'),
  )
  const to = join(await temporaryFolder(t), 'x.gguf')
  await convert({ from, to })
  const keys = plain((await readHeader(to)).metadata)
  assert.deepEqual(keys['general.name'], ['string', 'Small'])
  assert.deepEqual(keys['general.license'], ['string', 'mit'])
  assert.deepEqual(keys['general.license.link'], ['string', 'https://example.org/LICENSE'])
  assert.deepEqual(keys['general.tags'], ['string[]', ['nlp', 'code', 'text-generation']])
  assert.deepEqual(keys['general.languages'], ['string[]', ['en']])
})

test('a checkpoint without token ids and tokenizer_config.json gets <|endoftext|> as its end of text', async (t) => {
  const from = await temporaryFolder(t)
  await writeCheckpoint(from, { config: { bos_token_id: null, eos_token_id: null } })
  await rm(join(from, 'tokenizer_config.json'))
  const to = join(await temporaryFolder(t), 'x.gguf')
  await convert({ from, to })
  const keys = plain((await readHeader(to)).metadata)
  for (const kind of ['bos', 'eos', 'unknown'])
    assert.deepEqual(keys[`tokenizer.ggml.${kind}_token_id`], ['uint32', 13])
  assert.equal(keys['tokenizer.ggml.padding_token_id'], undefined)
})

test('the markers and the padding token of a fine-tune are kept', async (t) => {
  const from = await temporaryFolder(t)
  await writeCheckpoint(from)
  await writeJson(join(from, 'tokenizer_config.json'), {
    eos_token: { content: '<|im_end|>' },
    pad_token: '[PAD]',
    added_tokens_decoder: {
      13: { content: '<|endoftext|>', special: true },
      14: { content: '   ', special: false },
      17: { content: '<|im_end|>', special: false },
      18: { content: '[PAD]', special: true },
    },
  })
  const to = join(await temporaryFolder(t), 'x.gguf')
  await convert({ from, to })
  const keys = plain((await readHeader(to)).metadata)
  const types = keys['tokenizer.ggml.token_type']![1] as number[]
  assert.deepEqual(types.slice(13, 20), [3, 4, 5, 5, 3, 3, 5])
  assert.deepEqual(keys['tokenizer.ggml.eos_token_id'], ['uint32', 17])
  assert.deepEqual(keys['tokenizer.ggml.padding_token_id'], ['uint32', 18])
  assert.deepEqual(keys['tokenizer.ggml.bos_token_id'], ['uint32', 13])
})

test('what the converter of llama.cpp takes for special, fine-tunes’ other special tokens and several templates', async (t) => {
  const from = await temporaryFolder(t)
  await writeCheckpoint(from)
  const markers = ['<mask>', '<｜User｜>', '<unused7>', '<pad', '<sep>']
  const added = markers.map((content, index) => [17 + index, { content, special: false }])
  await writeJson(join(from, 'tokenizer_config.json'), {
    add_sep_token: true,
    sep_token: '<sep>',
    mask_token: { content: '<mask>' },
    added_tokens_decoder: Object.fromEntries(added),
    chat_template: [
      { name: 'default', template: 'plain' },
      { name: 'tool use', template: 'tools' },
      { name: 'broken', template: null },
    ],
  })
  const to = join(await temporaryFolder(t), 'x.gguf')
  await convert({ from, to })
  const entries = Object.entries(plain((await readHeader(to)).metadata))
  assert.deepEqual(Object.fromEntries(entries)['tokenizer.ggml.token_type']![1], [
    ...[...Array(13).fill(1), 3, 5, 5, 5, 3, 3, 3, 4, 4],
    ...[5, 5],
  ])
  // what gguf-py's SpecialVocab writes, behind the three that every Phi-2 has
  assert.deepEqual(entries.slice(-6), [
    ['tokenizer.ggml.seperator_token_id', ['uint32', 21]],
    ['tokenizer.ggml.mask_token_id', ['uint32', 17]],
    ['tokenizer.ggml.add_sep_token', ['bool', true]],
    ['tokenizer.chat_template.tool_use', ['string', 'tools']],
    ['tokenizer.chat_templates', ['string[]', ['tool_use']]],
    ['tokenizer.chat_template', ['string', 'plain']],
  ])
})

test('a chat template may lie in a file of its own', async (t) => {
  const from = await temporaryFolder(t)
  await writeCheckpoint(from)
  const to = join(await temporaryFolder(t), 'x.gguf')
  const template = async () => {
    await convert({ from, to })
    return (await readHeader(to)).metadata.get('tokenizer.chat_template')?.value
  }
  assert.equal(await template(), undefined)
  await writeJson(join(from, 'chat_template.json'), { chat_template: 'from JSON' })
  assert.equal(await template(), 'from JSON')
  await writeFile(join(from, 'chat_template.jinja'), 'from Jinja')
  assert.equal(await template(), 'from Jinja')
})

test('a RoPE base other than 10000 is written, and the newer rope_parameters are read', async (t) => {
  const rope_parameters = { rope_theta: 5000, partial_rotary_factor: 0.4, rope_type: 'default' }
  const config = { rope_theta: undefined, partial_rotary_factor: undefined, rope_parameters }
  const { header } = await convertSmall(t, { config })
  assert.deepEqual(header.metadata.get('phi2.rope.freq_base'), { type: 'float32', value: 5000 })
  assert.deepEqual(header.metadata.get('phi2.rope.dimension_count'), { type: 'uint32', value: 32 })
})

test('the full-size model has 453 tensors, 2,779,683,840 weights and the known sizes', () => {
  const sizes = { layers: 32, embeddingSize: 2560, feedForwardSize: 10240, vocabularySize: 51200 }
  const planned = planTensors(sizes)
  const count = (shape: number[]) => shape.reduce((product, length) => product * length, 1)
  const bytes = (type: 'f32' | 'f16') =>
    planned.reduce((sum, tensor) => sum + count(tensor.shape) * (tensorType(type, tensor) === 'f32' ? 4 : 2), 0)
  assert.equal(planned.length, 453)
  assert.equal(
    planned.reduce((sum, { shape }) => sum + count(shape), 0),
    2_779_683_840,
  )
  assert.equal(bytes('f32'), 11_118_735_360)
  assert.equal(bytes('f16'), 5_561_282_560)
  assert.equal(
    planned.find(({ name }) => name === 'blk.31.ffn_down.weight')?.checkpointName,
    'model.layers.31.mlp.fc2.weight',
  )
})

test('sizes are labelled with two digits', () => {
  assert.equal(sizeLabel(2_779_683_840), '2.8B')
  assert.equal(sizeLabel(39_000_000), '39M')
  assert.equal(sizeLabel(1_418_270_720), '1.4B')
  assert.equal(sizeLabel(999), '1.0K')
})

test('another architecture is refused by name', async (t) => {
  await checkpointFails(t, { config: { model_type: 'llama' } }, /model_type "llama"; expected "phi"/, 'PHI2_NOT_PHI2')
  await checkpointFails(t, { config: { model_type: 'mixformer-sequential' } }, /"mixformer-sequential".*January 2024/)
  await checkpointFails(t, { config: { model_type: undefined } }, /expected "phi"/, 'PHI2_NOT_PHI2')
})

test('what llama.cpp would compute wrongly is refused', async (t) => {
  await checkpointFails(t, { config: { num_key_value_heads: 1 } }, /num_key_value_heads 1; Phi-2 has 2/)
  await checkpointFails(t, { config: { qk_layernorm: true } }, /qk_layernorm true/)
  await checkpointFails(t, { config: { rope_scaling: { type: 'linear', factor: 2 } } }, /rope_scaling/)
  await checkpointFails(
    t,
    { config: { rope_parameters: { rope_type: 'yarn', factor: 2 } } },
    /rope_parameters .*"yarn"/,
  )
  await checkpointFails(t, { config: { hidden_act: 'silu' } }, /hidden_act "silu"/)
})

test('numbers of config.json that are missing or impossible are named', async (t) => {
  await checkpointFails(t, { config: { hidden_size: undefined } }, /hidden_size, found undefined/)
  await checkpointFails(t, { config: { num_hidden_layers: 1e9 } }, /num_hidden_layers, found 1000000000/)
  await checkpointFails(
    t,
    { config: { num_attention_heads: 3, num_key_value_heads: 3 } },
    /not a multiple of num_attention_heads 3/,
  )
  await checkpointFails(t, { config: { partial_rotary_factor: undefined } }, /partial_rotary_factor, found undefined/)
  await checkpointFails(t, { config: { partial_rotary_factor: 1.2 } }, /turns 96 of 80 features/)
  await checkpointFails(t, { config: { layer_norm_eps: 0 } }, /layer_norm_eps, found 0/)
})

test('missing, unexpected and misshapen tensors are named', async (t) => {
  await checkpointFails(t, { edit: (all) => void all.delete('lm_head.bias') }, /lacks lm_head.bias/)
  await checkpointFails(
    t,
    { config: { num_hidden_layers: 3 } },
    /lacks model.layers.2.input_layernorm.weight.* and 11 more/,
  )
  const odd = { dtype: 'F16', shape: [2], values: new Float32Array(2) }
  await checkpointFails(
    t,
    { edit: (all) => void all.set('base.lora_A.weight', odd) },
    /holds base.lora_A.weight.*merge adapters/,
  )
  await checkpointFails(
    t,
    { config: { intermediate_size: 320 } },
    /mlp.fc1.weight has the shape \[640, 160\]; config.json asks for \[320, 160\]/,
  )
  await checkpointFails(
    t,
    { edit: (all) => void all.set('lm_head.bias', { ...odd, shape: [24], dtype: 'X8' }) },
    /type X8/,
  )
  await checkpointFails(t, { config: { vocab_size: 2 ** 24 } }, /embed_tokens.weight has the shape \[24, 160\]/)
  const old = (all: Map<string, unknown>) => void all.clear()
  await checkpointFails(t, { edit: old }, /lacks model.embed_tokens.weight/)
})

test('the buffers that older versions of Transformers saved are passed over', async (t) => {
  const buffer = { dtype: 'F32', shape: [16], values: new Float32Array(16) }
  const edit: CheckpointOptions['edit'] = (all) => void all.set('model.layers.0.self_attn.rotary_emb.inv_freq', buffer)
  const { result } = await convertSmall(t, { edit })
  assert.equal(result.tensors, EXPECTED.length)
})

test('weights too large for half precision are refused, and kept in f32', async (t) => {
  const edit: CheckpointOptions['edit'] = (all) => {
    all.get('lm_head.weight')!.values[5] = 70000
  }
  const from = await temporaryFolder(t)
  await writeCheckpoint(from, { dtype: 'F32', edit })
  await fails(t, from, 'PHI2_INVALID_CHECKPOINT', /lm_head.weight are too large for f16; use outtype f32 or bf16/)
  const { to } = await convertSmall(t, { dtype: 'F32', edit }, { outtype: 'f32' })
  assert.equal(new Float32Array((await tensorBytes(to, 'output.weight')).buffer)[5], 70000)

  const broken = await temporaryFolder(t)
  const lose: CheckpointOptions['edit'] = (all) => {
    all.get('lm_head.weight')!.values[5] = Number.NaN
  }
  await writeCheckpoint(broken, { dtype: 'F32', edit: lose })
  await fails(t, broken, 'PHI2_INVALID_CHECKPOINT', /32 or more weights of lm_head.weight.*q8_0; is the.*sound/, 'q8_0')
})

test('vocabularies that do not fit are refused', async (t) => {
  const from = await temporaryFolder(t)
  await writeCheckpoint(from)
  await writeJson(join(from, 'added_tokens.json'), { '  ': 24 })
  await fails(t, from, 'PHI2_INVALID_CHECKPOINT', /id 24, but config.json has vocab_size 24/)
  await writeJson(join(from, 'added_tokens.json'), { '  ': 3 })
  await fails(t, from, 'PHI2_INVALID_CHECKPOINT', /id 3 stands for "Ġ" and for " {2}"/)
  await writeJson(join(from, 'added_tokens.json'), { '  ': 'x' })
  await fails(t, from, 'PHI2_INVALID_CHECKPOINT', /without id and content/)
  await writeJson(join(from, 'added_tokens.json'), {})
  await writeFile(join(from, 'merges.txt'), '#version: 0.2\na b\nabc\n')
  await fails(t, from, 'PHI2_INVALID_CHECKPOINT', /joins two parts, found "abc"/)
  await rm(join(from, 'merges.txt'))
  await fails(t, from, 'PHI2_INVALID_CHECKPOINT', /no vocabulary. Expected tokenizer.json/)
  await writeJson(join(from, 'tokenizer.json'), { model: { type: 'Unigram', vocab: [] } })
  await fails(t, from, 'PHI2_INVALID_CHECKPOINT', /no byte-pair encoding/)
})

test('a vocabulary that splits texts otherwise than Phi-2 is refused', async (t) => {
  const from = await temporaryFolder(t)
  await writeCheckpoint(from, { tokenizer: 'fast' })
  const path = join(from, 'tokenizer.json')
  const tokenizer = await readJson(path)
  const split = { type: 'Split', pattern: { Regex: '\\\\p{N}{1,3}' }, behavior: 'Isolated', invert: false }
  const others = [null, split, { type: 'ByteLevel', use_regex: false }, { type: 'Sequence', pretokenizers: [split] }]
  for (const pre_tokenizer of others) {
    await writeJson(path, { ...tokenizer, pre_tokenizer })
    await fails(t, from, 'PHI2_INVALID_CHECKPOINT', /splits texts otherwise than Phi-2: its pre_tokenizer is/)
  }
  const pre_tokenizer = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  await writeJson(path, { ...tokenizer, pre_tokenizer })
  await convert({ from, to: join(from, 'x.gguf') })
})

test('a folder, file or JSON that is missing or broken is named', async (t) => {
  const from = await temporaryFolder(t)
  await fails(t, join(from, 'nowhere'), 'PHI2_INVALID_CHECKPOINT', /no folder .*nowhere/)
  await fails(t, from, 'PHI2_INVALID_CHECKPOINT', /no config.json/)
  await writeFile(join(from, 'config.json'), '{')
  await fails(t, from, 'PHI2_INVALID_CHECKPOINT', /config.json is not valid JSON/)
  await writeFile(join(from, 'config.json'), '[]')
  await fails(t, from, 'PHI2_INVALID_CHECKPOINT', /must hold a JSON object/)
})

test('a truncated shard is refused', async (t) => {
  const from = await temporaryFolder(t)
  await writeCheckpoint(from, { shards: 2 })
  const shard = join(from, 'model-00002-of-00002.safetensors')
  await truncate(shard, (await stat(shard)).size - 1)
  await fails(t, from, 'PHI2_INVALID_CHECKPOINT', /model-00002-of-00002.safetensors.*not downloaded completely/)
})

test('progress rises to 1, and an abort half-way leaves nothing behind', async (t) => {
  const fractions: number[] = []
  const { from } = await convertSmall(t, {}, { onProgress: (fraction) => fractions.push(fraction) })
  assert.ok(fractions.every((fraction, index) => fraction > (fractions[index - 1] ?? 0) && fraction <= 1))
  assert.ok(fractions.length > 10 && fractions.at(-1)! > 0.99)

  const folder = await temporaryFolder(t)
  const controller = new AbortController()
  const onProgress = (fraction: number) => {
    if (fraction > 0.5) controller.abort(new Error('enough'))
  }
  await assert.rejects(convert({ from, to: join(folder, 'x.gguf'), signal: controller.signal, onProgress }), /enough/)
  assert.deepEqual(await readdir(folder), [])
  await assert.rejects(
    convert({ from, to: join(folder, 'x.gguf'), signal: AbortSignal.abort(new Error('before')) }),
    /before/,
  )
})

test('wrong options throw before anything is read', async () => {
  const good = { from: 'x', to: 'y' }
  const wrong = (options: object) => convert({ ...good, ...options } as ConvertOptions)
  await assert.rejects(wrong({ outtype: 'q4_k_m' }), { name: 'RangeError', code: 'PHI2_INVALID_OPTION' })
  await assert.rejects(wrong({ outtype: 7 }), { name: 'TypeError', code: 'PHI2_INVALID_OPTION' })
  await assert.rejects(wrong({ from: '' }), { name: 'TypeError', code: 'PHI2_INVALID_OPTION' })
  await assert.rejects(wrong({ to: 7 }), { name: 'TypeError', code: 'PHI2_INVALID_OPTION' })
  await assert.rejects(wrong({ name: '' }), { name: 'TypeError', code: 'PHI2_INVALID_OPTION' })
  await assert.rejects(wrong({ source: { revision: 5 } }), { name: 'TypeError', code: 'PHI2_INVALID_OPTION' })
  for (const name of ['fuseQkv', 'verify', 'overwrite']) {
    await assert.rejects(wrong({ [name]: 'yes' }), { name: 'TypeError', code: 'PHI2_INVALID_OPTION' })
  }
})

const tiny = tinyCheckpoint()
const skip = 'skip' in tiny && tiny.skip
const TINY = 'folder' in tiny ? tiny.folder : ''

test('Phi-2’s own vocabulary gives the same keys from tokenizer.json, from the older files, and from those without a tokenizer_config.json', {
  skip,
}, async (t) => {
  const slow = ['vocab.json', 'merges.txt', 'added_tokens.json']
  const forms = [
    ['tokenizer.json', 'tokenizer_config.json'],
    [...slow, 'tokenizer_config.json'],
    slow,
    ['tokenizer.json'],
  ]
  const keys = forms.map(async (names) => {
    const folder = await temporaryFolder(t)
    for (const name of names) await copyFile(join(TINY, name), join(folder, name))
    const metadata = tokenizerMetadata(await readTokenizerFiles(folder), { vocabularySize: 51200, json: {} })
    // where it is not said, it stands in another of the keys
    metadata.delete('tokenizer.ggml.add_bos_token')
    return [...metadata]
  })
  const [first, ...others] = await Promise.all(keys)
  for (const [index, other] of others.entries()) assert.ok(isDeepStrictEqual(other, first), forms[index + 1]!.join())
  assert.equal(first!.length, 8)
})

test('the real checkpoint of phi-2-tiny converts with Phi-2’s vocabulary and its own weights', { skip }, async (t) => {
  const to = join(await temporaryFolder(t), 'tiny.gguf')
  const { tensors, parameters } = await convert({ from: TINY, to, name: 'phi-2-tiny', license: 'mit' })
  assert.equal(tensors, 14 * 5 + 5)
  assert.equal(sizeLabel(parameters), '39M')
  const keys = plain((await readHeader(to)).metadata)
  const types = keys['tokenizer.ggml.token_type']![1] as number[]
  const counts = [1, 3, 4, 5].map((type) => types.filter((found) => found === type).length)
  assert.deepEqual(counts, [50256, 1, 38, 905])
  const tokens = keys['tokenizer.ggml.tokens']![1] as string[]
  assert.deepEqual(
    [50256, 50257, 50286, 50287, 50294, 50295, 51199].map((id) => tokens[id]),
    [...['<|endoftext|>', ' '.repeat(31), '  ', '\t'.repeat(9), '\t\t', '[PAD50295]', '[PAD51199]']],
  )
  assert.equal((keys['tokenizer.ggml.merges']![1] as string[]).length, 50000)
  assert.deepEqual(keys['phi2.rope.dimension_count'], ['uint32', 32])

  const shard = await open(join(TINY, 'model-00002-of-00002.safetensors'))
  t.after(() => shard.close())
  const bias = new Uint16Array(await tensorAt(shard, 'lm_head.bias'))
  const floats = new Float32Array(bias.length)
  f16ToF32(bias, floats)
  assert.deepEqual(new Float32Array((await tensorBytes(to, 'output.bias')).buffer), floats)
  assert.deepEqual(await tensorBytes(to, 'output.weight'), new Uint8Array(await tensorAt(shard, 'lm_head.weight')))
})

test('the real checkpoint in bf16 keeps each weight to 8 bits', { skip }, async (t) => {
  const folder = await temporaryFolder(t)
  await convert({ from: TINY, to: join(folder, 'f32.gguf'), outtype: 'f32' })
  await convert({ from: TINY, to: join(folder, 'bf16.gguf'), outtype: 'bf16' })
  const exact = new Float32Array((await tensorBytes(join(folder, 'f32.gguf'), 'blk.2.ffn_up.weight')).buffer)
  const rounded = new Float32Array(exact.length)
  bf16ToF32(new Uint16Array((await tensorBytes(join(folder, 'bf16.gguf'), 'blk.2.ffn_up.weight')).buffer), rounded)
  assert.ok(exact.every((value, i) => Math.abs(value - rounded[i]!) <= Math.abs(value) * 2 ** -8))
})

/** The raw bytes of one tensor of a safetensors file, read here without the code under test. */
async function tensorAt(file: Awaited<ReturnType<typeof open>>, name: string): Promise<ArrayBuffer> {
  const start = Buffer.alloc(8)
  await file.read(start, 0, 8, 0)
  const length = Number(start.readBigUInt64LE())
  const header = Buffer.alloc(length)
  await file.read(header, 0, length, 8)
  const [begin, end] = JSON.parse(header.toString())[name].data_offsets
  const bytes = new Uint8Array(end - begin)
  await file.read(bytes, 0, bytes.length, 8 + length + begin)
  return bytes.buffer
}
