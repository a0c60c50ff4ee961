import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { convert, readHeader, type SynthCheckpointOptions, synth, synthCheckpoint } from '../../gguf/index.js'
import { randomModel } from '../../gguf/random-model.js'
import { openSafetensors } from '../../gguf/safetensors.js'
import { headerBytes, planShards } from '../../gguf/safetensors-write.js'
import { checkpointTensors } from '../../gguf/synth-checkpoint.js'
import { noTmpfs, smallDisk } from '../helpers/tmpfs.js'
import { readJson, temporaryFolder, writeCheckpoint } from './gguf-fixture.js'

const SIZE = { layers: 2, embeddingSize: 160, heads: 2 }

/** A checkpoint with the small vocabulary of the fixtures, in a folder of its own. */
async function synthesize(t: TestContext, options: Partial<SynthCheckpointOptions> = {}) {
  const around = await temporaryFolder(t)
  const vocabulary = options.vocabulary ?? (await smallVocabulary(t))
  const to = join(around, 'hf')
  const result = await synthCheckpoint({ to, ...SIZE, ...options, vocabulary })
  return { around, to, result, vocabulary }
}

async function smallVocabulary(t: TestContext): Promise<string> {
  const folder = await temporaryFolder(t)
  await writeCheckpoint(folder)
  await convert({ from: folder, to: join(folder, 'vocabulary.gguf') })
  return join(folder, 'vocabulary.gguf')
}

function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}

test('the same seed gives the same files and another seed other weights', async (t) => {
  const files = async (seed: number) => {
    const { to } = await synthesize(t, { seed, shardBytes: 400_000 })
    const names = (await readdir(to)).sort()
    return Promise.all(names.map(async (name) => [name, sha256(await readFile(join(to, name)))]))
  }
  const one = await files(7)
  assert.deepEqual(await files(7), one)
  const other = await files(8)
  const changed = one.filter(([, hash], index) => hash !== other[index]?.[1]).map(([name]) => name)
  assert.deepEqual(
    changed,
    one.map(([name]) => name!).filter((name) => name.endsWith('.safetensors')),
  )
})

/** What a GGUF file says of its tensors and its vocabulary, and the bytes of the data section. */
async function contents(path: string) {
  const { tensors, metadata, dataOffset } = await readHeader(path)
  const vocabulary = [...metadata].filter(([key]) => key.startsWith('tokenizer.'))
  return { tensors, vocabulary: new Map(vocabulary), data: sha256((await readFile(path)).subarray(dataOffset)) }
}

for (const dtype of ['f16', 'f32', 'bf16'] as const) {
  test(`converted, a ${dtype} checkpoint gives the tensors and the vocabulary of the GGUF file that synth writes`, async (t) => {
    const { to: from, around, vocabulary } = await synthesize(t, { dtype })
    await convert({ from, to: join(around, 'converted.gguf'), outtype: dtype })
    await synth({ to: join(around, 'direct.gguf'), ...SIZE, type: dtype, vocabulary })
    assert.deepEqual(await contents(join(around, 'converted.gguf')), await contents(join(around, 'direct.gguf')))
  })
}

test('the two namings give the same GGUF file to the byte, whole or in shards, fused or not', async (t) => {
  const vocabulary = await smallVocabulary(t)
  for (const fuseQkv of [false, true]) {
    const hashes: string[] = []
    for (const naming of ['current', 'remote-code'] as const) {
      for (const shardBytes of [5_000_000_000, 400_000]) {
        const { to: from, around } = await synthesize(t, { naming, shardBytes, feedForward: 320, vocabulary })
        await convert({ from, to: join(around, 'x.gguf'), fuseQkv })
        hashes.push(sha256(await readFile(join(around, 'x.gguf'))))
      }
    }
    assert.deepEqual(hashes, Array(4).fill(hashes[0]))
  }
})

test('the older naming holds the same weights: query, key and value stacked, the rest under other names', async (t) => {
  const read = async (options: Partial<SynthCheckpointOptions>) => {
    const { to } = await synthesize(t, options)
    const bytes = await readFile(join(to, 'model.safetensors'))
    const tensors = await openSafetensors(to)
    const data = (name: string) => {
      const { offset, byteLength } = tensors.get(name)!
      return bytes.subarray(offset, offset + byteLength)
    }
    return { names: [...tensors.keys()], tensors, data, config: await readJson(join(to, 'config.json')) }
  }
  const current = await read({})
  const older = await read({ naming: 'remote-code' })
  assert.equal(current.names.length, 14 * 2 + 5)
  assert.equal(older.names.length, 10 * 2 + 5)
  assert.deepEqual(older.tensors.get('transformer.h.1.mixer.Wqkv.weight')?.shape, [480, 160])
  assert.deepEqual(older.tensors.get('transformer.h.1.mixer.Wqkv.bias')?.shape, [480])
  const same = (olderName: string, ...currentNames: string[]) => {
    for (const kind of ['weight', 'bias']) {
      const expected = Buffer.concat(currentNames.map((name) => current.data(`${name}.${kind}`)))
      assert.deepEqual(older.data(`${olderName}.${kind}`), expected, olderName)
    }
  }
  for (const n of [0, 1]) {
    const [layer, olderLayer] = [`model.layers.${n}`, `transformer.h.${n}`]
    same(`${olderLayer}.mixer.Wqkv`, ...['q', 'k', 'v'].map((part) => `${layer}.self_attn.${part}_proj`))
    same(`${olderLayer}.mixer.out_proj`, `${layer}.self_attn.dense`)
    same(`${olderLayer}.mlp.fc1`, `${layer}.mlp.fc1`)
    same(`${olderLayer}.mlp.fc2`, `${layer}.mlp.fc2`)
    same(`${olderLayer}.ln`, `${layer}.input_layernorm`)
  }
  same('lm_head.ln', 'model.final_layernorm')
  same('lm_head.linear', 'lm_head')
  assert.deepEqual(older.data('transformer.embd.wte.weight'), current.data('model.embed_tokens.weight'))
  const { model_type, n_embd, n_head, n_layer, n_positions, n_inner, rotary_dim, vocab_size } = older.config
  assert.deepEqual(
    [model_type, n_embd, n_head, n_layer, n_positions, n_inner, rotary_dim, vocab_size],
    ['phi-msft', 160, 2, 2, 2048, null, 32, 24],
  )
  assert.ok(!('partial_rotary_factor' in older.config))
})

test('at full size the shards are those of Phi-2, to the byte', async () => {
  const model = await randomModel({})
  const shards = planShards(checkpointTensors(model, 'f16', 'current'), 5_000_000_000)
  const sizes = shards.map((shard) => {
    const header = headerBytes(shard.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
    return header.length + shard.reduce((sum, { shape }) => sum + 2 * shape.reduce((n, length) => n * length, 1), 0)
  })
  assert.equal(model.parameters, 2_779_683_840)
  assert.equal(sizes.length, 2)
  // as on Hugging Face; of the second shard only "564 MB" is known
  assert.equal(sizes[0], 4_995_584_424)
  assert.equal(Math.round(sizes[1]! / 1e6), 564)
  const older = planShards(checkpointTensors(model, 'f16', 'remote-code'), 5_000_000_000)
  assert.equal(older.length, 2)
  assert.equal(older[0]?.at(-1)?.name, 'transformer.h.30.ln.bias')
})

test('the vocabulary’s files are Phi-2’s own, by their hashes and sizes', async (t) => {
  const to = join(await temporaryFolder(t), 'hf')
  await synthCheckpoint({ to, layers: 1, embeddingSize: 32, heads: 1 })
  const file = (name: string) => readFile(join(to, name))
  assert.equal(sha256(await file('vocab.json')), '3ba3c3109ff33976c4bd966589c11ee14fcaa1f4c9e5e154c2ed7f99d80709e7')
  assert.equal(sha256(await file('merges.txt')), '1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5')
  const size = async (name: string) => (await file(name)).length
  assert.deepEqual([await size('added_tokens.json'), await size('special_tokens_map.json')], [1080, 99])
  assert.equal(Math.round((await size('tokenizer_config.json')) / 10), 734)
  assert.equal(Math.round((await size('tokenizer.json')) / 10_000), 211)
  const added = JSON.parse((await file('added_tokens.json')).toString())
  assert.deepEqual([added[' '.repeat(31)], added['\t\t'], added['<|endoftext|>']], [50257, 50294, undefined])
  const fast = JSON.parse((await file('tokenizer.json')).toString())
  assert.deepEqual(
    fast.added_tokens
      .slice(0, 2)
      .map(({ id, special, normalized }: Record<string, unknown>) => [id, special, normalized]),
    [
      [50256, true, false],
      [50257, false, true],
    ],
  )
})

test('either form of the vocabulary converts to the one it was made from', async (t) => {
  const { to: from, around, vocabulary } = await synthesize(t)
  await rm(join(from, 'tokenizer.json'))
  await convert({ from, to: join(around, 'slow.gguf') })
  assert.deepEqual((await contents(join(around, 'slow.gguf'))).vocabulary, (await contents(vocabulary)).vocabulary)
})

test('shards hold at most what was asked for, and one file is left where all fits', async (t) => {
  const { to, result } = await synthesize(t, { shardBytes: 400_000 })
  assert.ok(result.files.length > 2)
  const digits = String(result.files.length).padStart(5, '0')
  assert.deepEqual(
    [result.files[0], result.files.at(-1)],
    [`model-00001-of-${digits}.safetensors`, `model-${digits}-of-${digits}.safetensors`],
  )
  let bytes = 0
  const tensors = [...(await openSafetensors(to)).values()]
  for (const name of result.files) {
    const path = join(to, name)
    const inside = tensors.filter((tensor) => tensor.path === path)
    assert.ok(inside.reduce((sum, { byteLength }) => sum + byteLength, 0) <= 400_000)
    assert.equal(inside[0]!.offset % 8, 0)
    bytes += (await stat(path)).size
  }
  assert.equal(result.bytes, bytes)
  const index = await readJson(join(to, 'model.safetensors.index.json'))
  assert.deepEqual(index.metadata, { total_size: result.parameters * 2 })

  const single = await synthesize(t)
  assert.deepEqual(single.result.files, ['model.safetensors'])
  assert.ok(!(await readdir(single.to)).includes('model.safetensors.index.json'))
})

test('a head whose rotary share is no round number comes back from config.json as it was', async (t) => {
  // 28 of 72 features, and 24 of 64
  for (const [embeddingSize, heads, rotary] of [
    [2304, 32, 28],
    [256, 4, 24],
  ] as const) {
    const { to: from, around } = await synthesize(t, { layers: 1, embeddingSize, heads, feedForward: 32 })
    await convert({ from, to: join(around, 'x.gguf') })
    const { metadata } = await readHeader(join(around, 'x.gguf'))
    assert.equal(metadata.get('phi2.rope.dimension_count')?.value, rotary)
    assert.equal(metadata.get('phi2.feed_forward_length')?.value, 32)
  }
})

test('an abort leaves nothing behind', async (t) => {
  const around = await temporaryFolder(t)
  const vocabulary = await smallVocabulary(t)
  const controller = new AbortController()
  const onProgress = () => controller.abort(new Error('enough'))
  const options = { to: join(around, 'hf'), ...SIZE, vocabulary, signal: controller.signal, onProgress }
  await assert.rejects(synthCheckpoint(options), /enough/)
  assert.deepEqual(await readdir(around), [])
})

test('a disk that is too small is found out before anything is written', { skip: noTmpfs }, async (t) => {
  const disk = smallDisk(t, 512 * 1024)
  const vocabulary = await smallVocabulary(t)
  const noSpace = { code: 'PHI2_NO_SPACE', message: /A random (model|checkpoint) of type f16 needs 1\.\d+ MB/ }
  const onProgress = () => assert.fail('something was written')
  const options = { ...SIZE, vocabulary, onProgress }
  await assert.rejects(synthCheckpoint({ to: join(disk, 'hf'), ...options }), noSpace)
  await assert.rejects(synth({ to: join(disk, 'x.gguf'), ...options }), noSpace)
  assert.deepEqual(await readdir(disk), [])
})

test('what is there already stays, unless a checkpoint may be overwritten', async (t) => {
  const { around, to, vocabulary } = await synthesize(t)
  const again = (options: Partial<SynthCheckpointOptions>) => synthCheckpoint({ to, ...SIZE, vocabulary, ...options })
  const before = sha256(await readFile(join(to, 'model.safetensors')))
  await assert.rejects(again({ seed: 2 }), { code: 'PHI2_IO', message: /exists already/ })
  assert.equal(sha256(await readFile(join(to, 'model.safetensors'))), before)
  await again({ seed: 2, overwrite: true })
  assert.notEqual(sha256(await readFile(join(to, 'model.safetensors'))), before)

  const precious = join(around, 'precious')
  await mkdir(precious)
  await writeFile(join(precious, 'thesis.txt'), 'years of work')
  await writeFile(join(precious, 'config.json'), '{}')
  await assert.rejects(again({ to: precious, overwrite: true }), { code: 'PHI2_IO', message: /no model’s folder/ })
  await assert.rejects(again({ to: join(precious, 'thesis.txt'), overwrite: true }), { code: 'PHI2_IO' })
  await assert.rejects(again({ to: join(around, 'none', 'hf') }), { code: 'PHI2_IO' })
  assert.equal(await readFile(join(precious, 'thesis.txt'), 'utf8'), 'years of work')
  assert.deepEqual((await readdir(around)).sort(), ['hf', 'precious'])
})

test('wrong options are refused', async () => {
  const wrong = (options: object) => synthCheckpoint({ to: 'x', ...options } as SynthCheckpointOptions)
  const range = { name: 'RangeError', code: 'PHI2_INVALID_OPTION' }
  await assert.rejects(wrong({ dtype: 'q8_0' }), range)
  await assert.rejects(wrong({ naming: 'mixformer' }), range)
  await assert.rejects(wrong({ shardBytes: 0 }), range)
  await assert.rejects(wrong({ layers: 0 }), range)
  await assert.rejects(wrong({ embeddingSize: 320, heads: 7 }), range)
  await assert.rejects(wrong({ to: '' }), { name: 'TypeError', code: 'PHI2_INVALID_OPTION' })
})
