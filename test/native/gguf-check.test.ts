import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { GGML_TYPES, type GgmlTypeName } from '../../gguf/index.js'
import { runChild } from '../helpers/child.js'
import { temporaryFolder } from '../helpers/model.js'
import { comma, endOfText, fuseAttention, type Model, replaceVocabulary, soundModel } from './gguf-variants.js'

/** What the child tells of one file. */
interface Outcome {
  code?: string
  message?: string
  name?: string
  warnings?: string[]
  tokens?: number[]
  text?: string
  finishReason?: string
}

type Edit = (model: Model) => unknown
type Expected = (outcome: Outcome) => void
type Row = [name: string, edit: Edit, expected: Expected]

// Tells the pre-tokenizers apart: phi-2's takes the space before a number with it.
const prompt = 'abc ab 0 a. '.repeat(5)

function refused(message: RegExp, code = 'PHI2_INVALID_GGUF'): Expected {
  return (outcome) => {
    assert.equal(outcome.code, code, JSON.stringify(outcome))
    assert.match(outcome.message!, message)
  }
}

function runs(expected: Omit<Outcome, 'warnings'> = {}, ...warnings: RegExp[]): Expected {
  return (outcome) => {
    const { warnings: found = [], ...rest } = outcome
    assert.equal(rest.code, undefined, JSON.stringify(rest))
    assert.deepEqual(rest, { name: 'variant', tokens: soundTokens, text: 'aaaa', finishReason: 'length', ...expected })
    assert.equal(found.length, warnings.length, found.join())
    for (const [index, warning] of warnings.entries()) assert.match(found[index]!, warning)
  }
}

const soundTokens = Array.from({ length: 5 }, () => [8, 3, 6, 12, 7, 4, 3]).flat()
const notAllowed = new Set<GgmlTypeName>(['q8_1', 'q8_k', 'i8', 'i16', 'i32', 'i64', 'f64'])

const rows: Row[] = [
  ['the sound file', () => {}, runs()],

  // keys that make another model of it
  ...['yarn', 'longrope', 'su', ''].map(
    (type): Row => [
      `rope scaling "${type}"`,
      (model) => model.text('phi2.rope.scaling.type', type),
      refused(/rope\.scaling\.type/),
    ],
  ),
  ...['none', 'linear'].map(
    (type): Row => [`rope scaling "${type}"`, (model) => model.text('phi2.rope.scaling.type', type), runs()],
  ),
  [
    'rope scaling as a number',
    (model) => model.set('phi2.rope.scaling.type', 'uint32', 1),
    refused(/rope\.scaling\.type/),
  ],
  ['a linear rope factor', (model) => model.set('phi2.rope.scaling.factor', 'float32', 2), runs()],
  ['a rope factor NaN', (model) => model.set('phi2.rope.scaling.factor', 'float32', NaN), refused(/scaling\.factor/)],
  ['a rope base of 0', (model) => model.set('phi2.rope.freq_base', 'float32', 0), refused(/freq_base/)],
  ['a rope base without end', (model) => model.set('phi2.rope.freq_base', 'float32', Infinity), refused(/freq_base/)],
  [
    'an old linear scale below 0',
    (model) => model.set('phi2.rope.scale_linear', 'float32', -1),
    refused(/scale_linear/),
  ],
  ...[
    'nextn_predict_layers',
    'expert_count',
    'expert_used_count',
    'expert_group_count',
    'expert_group_used_count',
    'attention.sliding_window',
    'pooling_type',
  ].flatMap((key): Row[] => [
    [`${key} 2`, (model) => model.set(`phi2.${key}`, 'uint32', 2), refused(new RegExp(key))],
    [`${key} 0`, (model) => model.set(`phi2.${key}`, 'uint32', 0), runs()],
  ]),
  [
    'expert_used_count as a list',
    (model) => model.metadata.set('phi2.expert_used_count', { type: 'array', of: 'uint32', value: [1] }),
    refused(/expert_used_count/),
  ],
  ['another output width', (model) => model.set('phi2.embedding_length_out', 'uint32', 512), refused(/length_out/)],
  ['attention that is not causal', (model) => model.bool('phi2.attention.causal', false), refused(/causal/)],
  ['causal attention', (model) => model.bool('phi2.attention.causal', true), runs()],

  // texts that the engine cuts at a NUL
  ['a key with a NUL byte', (model) => model.set('phi2.expert_count\0', 'uint32', 5), refused(/key is empty or holds/)],
  ['an empty key', (model) => emptyKey(model), refused(/key is empty or holds/)],
  ['a token with a NUL byte', (model) => model.token(2, 'a\0'), refused(/token 2 .*NUL/)],
  ['an empty token', (model) => model.token(2, ''), refused(/token 2 is empty/)],
  ['a token twice', (model) => model.token(9, 'a'), refused(/twice/)],
  ['a token with the name of an empty one', (model) => model.token(2, '[EMPTY_5]'), runs()],
  ['a token of 20000 spaces', (model) => model.token(2, ' '.repeat(20_000)), refused(/too long/)],
  ['a tensor with a NUL byte', (model) => model.rename('output.bias', 'output.bias\0'), refused(/tensor's name/)],

  // alignment
  ...[8, 16].map(
    (alignment): Row => [
      `alignment ${alignment}`,
      (model) => model.set('general.alignment', 'uint32', alignment),
      refused(/alignment/),
    ],
  ),
  ['alignment 64', (model) => model.set('general.alignment', 'uint32', 64), runs()],

  // types of tensors
  ...(Object.keys(GGML_TYPES) as GgmlTypeName[]).map(
    (type): Row => [
      `matrices in ${type}`,
      (model) => model.retypeMatrices(type),
      notAllowed.has(type) ? refused(new RegExp(`type ${type}`, 'i')) : runs(),
    ],
  ),
  ...['token_embd.weight', 'output.weight', 'blk.0.ffn_down.weight'].map(
    (name): Row => [`${name} in i32`, (model) => model.retype(name, 'i32'), refused(new RegExp(`${name} .*i32`))],
  ),
  ...['blk.0.attn_norm.weight', 'output_norm.bias', 'blk.0.ffn_up.bias', 'output.bias'].flatMap((name) =>
    (['f16', 'bf16', 'i32'] as const).map(
      (type): Row => [`${name} in ${type}`, (model) => model.retype(name, type), refused(new RegExp(`${name} as f32`))],
    ),
  ),
  ['a norm in q8_0', (model) => model.retype('output_norm.weight', 'q8_0'), refused(/output_norm\.weight as f32/)],

  // names of tensors
  ['q, k and v in one', fuseAttention, runs()],
  ['no biases of q, k and v', (model) => model.drop(...['q', 'k', 'v'].map((qkv) => `blk.0.attn_${qkv}.bias`)), runs()],
  ['a scale', (model) => model.add('blk.0.attn_q.scale', [1]), refused(/attn_q\.scale, which Phi-2 does not have/)],
  ['rope factors', (model) => model.add('rope_freqs.weight', [16]), refused(/rope_freqs\.weight, which/)],
  [
    'a layer too many',
    (model) => model.add('blk.1.ffn_up.weight', [256, 256]),
    refused(/blk\.1\.ffn_up\.weight, which/),
  ],
  ['adapters beside a fused matrix', (model) => loraBesideFused(model), refused(/lora_a, which/)],
  ...['output.weight', 'blk.0.attn_q.weight', 'blk.0.attn_norm.bias', 'token_embd.weight'].map(
    (name): Row => [
      `${name} under another name`,
      (model) => model.rename(name, 'x'),
      refused(new RegExp(name), 'PHI2_MODEL_LOAD_FAILED'),
    ],
  ),
  [
    'a matrix of three dimensions',
    (model) => model.drop('output.weight').add('output.weight', [256, 7, 2]),
    refused(/output\.weight.* shape/, 'PHI2_MODEL_LOAD_FAILED'),
  ],

  // the tokenizer
  ...['gpt-2', 'phi-2'].map((pre): Row => [`pre-tokenizer ${pre}`, (m) => m.text('tokenizer.ggml.pre', pre), runs()]),
  ...['llama-bpe', 'tekken', 'gpt-4o', 'superbpe', 'gemma4', 'jina-v2-code', 'whitespace', 'unheard-of'].map(
    (pre): Row => [
      `pre-tokenizer ${pre}`,
      (model) => model.text('tokenizer.ggml.pre', pre),
      runs({}, new RegExp(`pre-tokenizer "${pre}"`)),
    ],
  ),
  ...['', 'default'].map(
    (pre): Row => [
      `pre-tokenizer "${pre}"`,
      (model) => model.text('tokenizer.ggml.pre', pre),
      runs({}, /does not name its pre-tokenizer/),
    ],
  ),
  ['no pre-tokenizer', (model) => model.remove('tokenizer.ggml.pre'), runs({}, /does not name its pre-tokenizer/)],
  [
    'no end of text, which comes',
    (model) => model.remove('tokenizer.ggml.eos_token_id').favour(endOfText),
    runs({ text: '', finishReason: 'stop' }, /<\|endoftext\|> \(13\)/),
  ],
  [
    'no end of text, and commas come',
    (model) => model.remove('tokenizer.ggml.eos_token_id').favour(comma),
    runs({ text: ',,,,' }, /<\|endoftext\|> \(13\)/),
  ],
  [
    'no end of text, nor a token for it',
    (model) => model.remove('tokenizer.ggml.eos_token_id').token(endOfText, 'end'),
    refused(/eos_token_id/),
  ],
  [
    'an end of text that is no token',
    (model) => model.set('tokenizer.ggml.eos_token_id', 'uint32', 14),
    refused(/eos_token_id/),
  ],
  ...['bos', 'eos', 'sep'].map(
    (kind): Row => [
      `add_${kind}_token without that token`,
      (model) => model.bool(`tokenizer.ggml.add_${kind}_token`, true).remove('tokenizer.ggml.bos_token_id'),
      runs(),
    ],
  ),
  ['add_space_prefix', (model) => model.bool('tokenizer.ggml.add_space_prefix', true), runs()],
  ['a vocabulary of one token', (model) => oneToken(model), runs({ tokens: [], text: '', finishReason: 'stop' })],
  ...['Phi-3-mini', 'my PHI3 merge', 'modern-bert'].map(
    (name): Row => [`the name ${name}`, (model) => model.text('general.name', name), runs({ name })],
  ),
  ['no name', (model) => model.remove('general.name'), runs({ name: '' })],
]

function emptyKey(model: Model): void {
  model.text('x', '').patch = (file) => {
    const at = file.indexOf('\x01\0\0\0\0\0\0\0x\x08')
    return Buffer.concat([file.subarray(0, at), Buffer.alloc(8), file.subarray(at + 9)])
  }
}

function loraBesideFused(model: Model): void {
  fuseAttention(model)
  model.add('blk.0.attn_qkv.lora_a', [256, 4])
}

function oneToken(model: Model): void {
  replaceVocabulary(model, ['<|endoftext|>'])
  for (const kind of ['bos', 'eos']) model.set(`tokenizer.ggml.${kind}_token_id`, 'uint32', 0)
}

test('a file that the engine would die of is refused or mended, and every other one runs', async (t) => {
  const folder = temporaryFolder()
  const files: string[] = []
  for (const [index, [, edit]] of rows.entries()) {
    const model = soundModel()
    edit(model)
    files.push(join(folder, `${index}.gguf`))
    await model.write(files[index]!)
  }
  // In a child: what is not refused would take this test's process along. One line for each file that was survived.
  const child = await runChild(`
    ready()
    for (const model of ${JSON.stringify(files)}) {
      const outcome = {}
      try {
        const phi2 = await Phi2.load({ model, contextSize: 256, threads: 1 })
        outcome.name = phi2.info.name
        outcome.warnings = phi2.info.warnings
        outcome.tokens = [...await phi2.tokenize(${JSON.stringify(prompt)})]
        const { text, finishReason } = await phi2.complete('<|endoftext|>' + ${JSON.stringify(prompt)}, { maxTokens: 4 })
        Object.assign(outcome, { text, finishReason })
        await phi2.close()
      } catch ({ code, message }) {
        Object.assign(outcome, { code, message })
      }
      console.log(JSON.stringify(outcome))
    }`)
  const outcomes = child.stdout.trim().split('\n').slice(1)
  for (const [index, [name, , expected]] of rows.entries()) {
    await t.test(name, () => {
      const line = outcomes[index]
      assert.ok(line !== undefined, `the process ended (${child.signal ?? child.code}) before: ${child.stderr}`)
      expected(JSON.parse(line) as Outcome)
    })
  }
  assert.deepEqual([child.code, child.signal, child.stderr], [0, null, ''])
})
