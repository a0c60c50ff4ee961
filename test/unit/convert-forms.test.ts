import assert from 'node:assert/strict'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type ConvertOptions, convert, type OutType, readHeader } from '../../gguf/index.js'
import { reexpressInOldNaming } from '../helpers/old-naming.js'
import {
  type CheckpointOptions,
  type Dtype,
  encode,
  readJson,
  SMALL,
  smallTensors,
  temporaryFolder,
  tensorBytes,
  writeCheckpoint,
  writeJson,
} from './gguf-fixture.js'

/** One checkpoint in the naming of today and in that of before January 2024; both folders have the same name. */
async function bothNamings(t: TestContext, options: CheckpointOptions = {}) {
  const folder = await temporaryFolder(t)
  const current = join(folder, 'current', 'small')
  const old = join(folder, 'old', 'small')
  for (const path of [current, old]) await mkdir(path, { recursive: true })
  await writeCheckpoint(current, options)
  await reexpressInOldNaming(current, old)
  return { folder, current, old }
}

async function convertTo(folder: string, name: string, options: Omit<ConvertOptions, 'to'>) {
  const to = join(folder, name)
  const result = await convert({ ...options, to })
  return { to, result, bytes: await readFile(to), header: await readHeader(to) }
}

const OUT: OutType[] = ['f32', 'f16', 'bf16', 'q8_0', 'auto']

for (const dtype of ['F32', 'F16', 'BF16'] satisfies Dtype[]) {
  test(`a ${dtype} checkpoint in the naming of before 2024 gives the same bytes as in the current one`, async (t) => {
    const { folder, current, old } = await bothNamings(t, { dtype, shards: 2 })
    for (const outtype of OUT) {
      for (const fuseQkv of [false, true]) {
        const one = await convertTo(folder, 'current.gguf', { from: current, outtype, fuseQkv })
        const two = await convertTo(folder, 'old.gguf', { from: old, outtype, fuseQkv })
        assert.ok(one.bytes.equals(two.bytes), `${outtype}, fused: ${fuseQkv}`)
        assert.equal(one.result.tensors, fuseQkv ? 10 * SMALL.layers + 5 : 14 * SMALL.layers + 5)
      }
    }
  })
}

test('fusing puts the rows of query, key and value one after the other, and touches nothing else', async (t) => {
  const { folder, current } = await bothNamings(t)
  const separate = await convertTo(folder, 'separate.gguf', { from: current, outtype: 'f16' })
  const fused = await convertTo(folder, 'fused.gguf', { from: current, outtype: 'f16', fuseQkv: true })
  assert.deepEqual([...fused.header.metadata], [...separate.header.metadata])
  const e = SMALL.embedding
  for (const { name, type, shape } of fused.header.tensors) {
    const parts = name.includes('attn_qkv') ? ['q', 'k', 'v'].map((part) => name.replace('qkv', part)) : [name]
    const expected = await Promise.all(parts.map((part) => tensorBytes(separate.to, part)))
    assert.deepEqual(await tensorBytes(fused.to, name), new Uint8Array(Buffer.concat(expected)), name)
    if (name.endsWith('attn_qkv.weight')) assert.deepEqual([type, shape], ['f16', [e, 3 * e]])
    if (name.endsWith('attn_qkv.bias')) assert.deepEqual([type, shape], ['f32', [3 * e]])
  }
})

test('a checkpoint of several types keeps every weight; auto is its 16-bit type', async (t) => {
  const dtypes: Dtype[] = ['F32', 'F16', 'BF16']
  const edit: CheckpointOptions['edit'] = (all) => {
    for (const [index, [name, tensor]] of [...all].entries()) {
      if (name !== 'model.embed_tokens.weight') tensor.dtype = dtypes[index % 3]!
    }
  }
  const { folder, current } = await bothNamings(t, { dtype: 'F32', edit })
  const { to, result } = await convertTo(folder, 'x.gguf', { from: current, outtype: 'f32', fuseQkv: true })
  const source = smallTensors('F32')
  const parts = ['q', 'k', 'v'].map((part) => source.get(`model.layers.1.self_attn.${part}_proj.weight`)!.values)
  const expected = Buffer.concat(parts.map((values) => encode(values, 'F32')))
  assert.deepEqual(await tensorBytes(to, 'blk.1.attn_qkv.weight'), new Uint8Array(expected))
  assert.equal(result.outtype, 'f32')
  const auto = await convertTo(folder, 'auto.gguf', { from: current })
  // embedding and query are F32, the key is BF16
  assert.equal(auto.result.outtype, 'bf16')
})

test('the older config.json is read by its own names', async (t) => {
  const { folder, old } = await bothNamings(t)
  const config = await readJson(join(old, 'config.json'))
  assert.equal(config.partial_rotary_factor, undefined)
  const check = async (changes: Record<string, unknown>, message: RegExp) => {
    await writeJson(join(old, 'config.json'), { ...config, ...changes })
    await assert.rejects(convert({ from: old, to: join(folder, 'x.gguf') }), {
      code: 'PHI2_INVALID_CHECKPOINT',
      message,
    })
  }
  await check({ n_embd: undefined }, /n_embd, found undefined/)
  await check({ n_head: 3 }, /n_embd 160 is not a multiple of n_head 3/)
  await check({ n_head_kv: 1 }, /n_head_kv 1; Phi-2 has 2/)
  await check({ rotary_dim: 31 }, /rotary_dim 31 turns 31 of 80 features/)
  await check({ rotary_dim: 0.5 }, /rotary_dim 0.5 turns 0.5 of 80/)
  await check({ activation_function: 'relu' }, /activation_function "relu"/)
  await check({ layer_norm_epsilon: null }, /layer_norm_epsilon, found null/)
  await check({ n_inner: 320 }, /mlp.fc1.weight has the shape \[640, 160\]; config.json asks for \[320, 160\]/)
  await writeJson(join(old, 'config.json'), { ...config, n_inner: 640 })
  await convert({ from: old, to: join(folder, 'x.gguf') })
})

test('an old matrix of query, key and value that is not three times as high is refused', async (t) => {
  const { folder, old } = await bothNamings(t)
  const config = await readJson(join(old, 'config.json'))
  await writeJson(join(old, 'config.json'), { ...config, n_embd: 80, n_head: 1 })
  await assert.rejects(convert({ from: old, to: join(folder, 'x.gguf') }), {
    code: 'PHI2_INVALID_CHECKPOINT',
    message: /transformer.embd.wte.weight has the shape/,
  })
})

test('mixed and MixFormer namings are refused with what to do', async (t) => {
  const fails = async (rename: (name: string) => string, message: RegExp) => {
    const edit: CheckpointOptions['edit'] = (all) => {
      const tensors = [...all]
      all.clear()
      for (const [name, tensor] of tensors) all.set(rename(name), tensor)
    }
    const folder = await temporaryFolder(t)
    await writeCheckpoint(folder, { edit })
    await assert.rejects(convert({ from: folder, to: join(folder, 'x.gguf') }), {
      code: 'PHI2_INVALID_CHECKPOINT',
      message,
    })
  }
  await fails(
    (name) => name.replace('model.layers.1.', 'transformer.h.1.'),
    /mixes the current naming \(model\..*\) with the one before January 2024 \(transformer\.h\.1\..*one revision only/,
  )
  await fails(
    (name) => name.replace('model.layers.', 'layers.').replace('model.', 'layers.'),
    /MixFormer code \(layers\..*use a revision of January 2024 or later/,
  )
})
