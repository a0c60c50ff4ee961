import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { writeGguf } from '../../gguf/index.js'
import { readFileType } from '../../src/models/file-type.js'
import { tinyModelPath } from '../../src/models/resolve.js'
import {
  formatProfiles,
  isNear,
  parseProfiles,
  putProfile,
  serves,
  type TunedKey,
  type TunedProfile,
  withTuned,
} from '../../src/tuned/profile.js'
import { readProfiles, removeProfiles, storeProfile } from '../../src/tuned/store.js'
import { temporaryFolder } from '../helpers/model.js'

const key: TunedKey = {
  cpu: 'Some Processor 9000',
  processors: 16,
  llama: '0.5.0',
  backend: 'libggml-cpu.so',
  device: 'CPU',
  fileType: 15,
  bytes: 1_740_000_000,
  kvType: 'f16',
}
const profile: TunedProfile = {
  key,
  options: { threads: 6, batchSize: 512, microBatchSize: 256, flashAttention: 'auto' },
  gain: { prefill: 1.1, decode: 1.05, total: 1.07 },
  promptTokens: 512,
  predictTokens: 128,
  date: '2025-01-31T12:00:00.000Z',
}
const other: TunedProfile = { ...profile, key: { ...key, fileType: 2, bytes: 1_600_000_000 } }

test('profiles come back from their text as they went in', () => {
  assert.deepEqual(parseProfiles(formatProfiles([profile, other])), [profile, other])
})

test('a text that is damaged, of another version or something else holds no profiles', () => {
  const text = formatProfiles([profile])
  for (const damaged of [
    '',
    'null',
    '[]',
    '{}',
    text.slice(0, -20),
    text.replace('"version": 1', '"version": 2'),
    text.replace('phi2-tuned', 'phi2-chat'),
    '{"format":"phi2-tuned","version":1}',
    '{"format":"phi2-tuned","version":1,"profiles":{"length":1}}',
  ]) {
    assert.deepEqual(parseProfiles(damaged), [], damaged)
  }
})

test('a profile with anything missing or out of range is left out, the others stay', () => {
  const oddValues = [undefined, null, 'x', -1, 0, 1.5, 1e9, {}, [], true]
  // [where, values of those above that are right there]
  const right: Record<string, unknown[]> = {
    'key.cpu': ['x'],
    'key.llama': ['x'],
    'key.backend': ['x'],
    'key.device': ['x'],
    'key.processors': [1e9],
    'key.fileType': [-1, 0, 1e9],
    'key.bytes': [1.5, 1e9],
    'key.kvType': [],
    'options.threads': [],
    'options.batchSize': [],
    'options.microBatchSize': [],
    'options.flashAttention': [true],
    'gain.prefill': [1.5, 1e9],
    'gain.decode': [1.5, 1e9],
    'gain.total': [1.5, 1e9],
    promptTokens: [1.5, 1e9],
    predictTokens: [1.5, 1e9],
    date: [],
    key: [],
    options: [],
    gain: [],
  }
  for (const [where, fits] of Object.entries(right)) {
    for (const value of oddValues) {
      if (fits.includes(value)) continue
      const changed = structuredClone(profile) as unknown as Record<string, Record<string, unknown>>
      const [outer, inner] = where.split('.') as [string, string?]
      if (inner === undefined) changed[outer] = value as Record<string, unknown>
      else changed[outer]![inner] = value
      const text = formatProfiles([changed as unknown as TunedProfile, other])
      assert.deepEqual(parseProfiles(text), [other], `${where} ${JSON.stringify(value)}`)
    }
  }
})

test('options that do not go together make a profile invalid', () => {
  const with_ = (options: object) => ({ ...profile, options: { ...profile.options, ...options } })
  for (const odd of [with_({ microBatchSize: 1024 }), with_({ threads: 17 }), with_({ seed: 1 })]) {
    assert.deepEqual(parseProfiles(formatProfiles([odd])), [])
  }
})

test('a profile serves the same machine, engine and kind of model, and nothing else', () => {
  assert.ok(serves(key, { ...key, bytes: 1_741_000_000 }), 'another file of the same model')
  for (const different of [
    { cpu: 'Another' },
    { processors: 8 },
    { llama: '0.6.0' },
    { backend: 'libggml-cpu-haswell.so' },
    { device: 'Some GPU' },
    { bytes: 1_850_000_000 },
    { kvType: 'f32' },
  ] as const) {
    assert.equal(isNear(key, { ...key, ...different }), false, JSON.stringify(different))
    assert.equal(serves(key, { ...key, ...different }), false, JSON.stringify(different))
  }
  const { fileType: _, ...near } = key
  assert.ok(isNear(key, near))
  assert.equal(serves(key, { ...key, fileType: 2 }), false)
})

test('a new profile takes the place of the one for the same key', () => {
  const newer = { ...profile, date: '2025-02-01T00:00:00.000Z' }
  assert.deepEqual(putProfile([profile, other], newer), [other, newer])
  assert.deepEqual(putProfile([profile], other), [profile, other])
})

test('what the caller gives wins over the profile', () => {
  const tuned = profile.options
  assert.deepEqual(withTuned({}, tuned), { options: tuned, taken: tuned })
  assert.deepEqual(withTuned({ threads: undefined as unknown as number }, tuned).options.threads, 6)
  const { options, taken } = withTuned({ model: 'x.gguf', threads: 2, flashAttention: false }, tuned)
  assert.deepEqual(options, {
    model: 'x.gguf',
    threads: 2,
    flashAttention: false,
    batchSize: 512,
    microBatchSize: 256,
  })
  assert.deepEqual(taken, { batchSize: 512, microBatchSize: 256 })
})

test('a batch that the caller gives and a micro-batch of the profile go together, and the other way round', () => {
  const { options } = withTuned({ batchSize: 128 }, profile.options)
  assert.deepEqual([options.batchSize, options.microBatchSize], [128, 128])
  const larger = withTuned({ microBatchSize: 1024 }, profile.options).options
  assert.deepEqual([larger.batchSize, larger.microBatchSize], [1024, 1024])
})

test('profiles are stored beside each other, and a file that cannot be read counts as empty', async () => {
  const folder = temporaryFolder()
  const path = join(folder, 'cache', 'tuned.json')
  assert.deepEqual(readProfiles(path), [])
  await storeProfile(profile, path)
  await storeProfile(other, path)
  assert.deepEqual(readProfiles(path), [profile, other])
  assert.deepEqual(readdirSync(join(folder, 'cache')), ['tuned.json'])
  writeFileSync(path, readFileSync(path, 'utf8').slice(0, 100))
  assert.deepEqual(readProfiles(path), [])
  await storeProfile(profile, path)
  assert.deepEqual(readProfiles(path), [profile])
  assert.equal(await removeProfiles(path), 1)
  assert.equal(await removeProfiles(path), 0)
  mkdirSync(path)
  assert.deepEqual(readProfiles(path), [], 'a folder of that name')
  await assert.rejects(storeProfile(profile, path), { code: 'PHI2_IO' })
})

test('the type of a file is found wherever its key stands', async () => {
  const folder = temporaryFolder()
  assert.equal(await readFileType(tinyModelPath()), 7)
  const tokens = { type: 'array', of: 'string', value: Array.from({ length: 20_000 }, (_, i) => `token ${i}`) } as const
  const numbers = { type: 'array', of: 'float32', value: [1, 2, 3] } as const
  const fileType = { type: 'uint32', value: 18 } as const
  const name = { type: 'string', value: 'general.file_type' } as const
  const path = join(folder, 'x.gguf')
  for (const keys of [
    [['general.file_type', fileType]],
    [
      ['general.name', name],
      ['tokens', tokens],
      ['numbers', numbers],
      ['flag', { type: 'bool', value: true }],
      ['general.file_type', fileType],
    ],
  ]) {
    await writeGguf(path, { metadata: new Map(keys as [string, typeof fileType][]), tensors: [] })
    assert.equal(await readFileType(path), 18)
  }
})

test('a file without a type, no GGUF file and no file have none', async () => {
  const folder = temporaryFolder()
  const path = join(folder, 'x.gguf')
  await writeGguf(path, { metadata: new Map([['general.name', { type: 'string', value: 'x' }]]), tensors: [] })
  assert.equal(await readFileType(path), undefined)
  const sound = readFileSync(tinyModelPath()).subarray(0, 3000)
  for (const bytes of [Buffer.alloc(0), Buffer.from('GGUF'), Buffer.from('text'.repeat(100)), sound]) {
    writeFileSync(path, bytes)
    assert.equal(await readFileType(path), undefined)
  }
  assert.equal(await readFileType(join(folder, 'nothing')), undefined)
  assert.equal(await readFileType(folder), undefined)
})
