import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TunedProfile } from '../../src/tuned/profile.js'
import { storeProfile } from '../../src/tuned/store.js'
import { temporaryFolder } from '../helpers/model.js'
import { phi2 } from './run.js'

const quick = ['--prompt', '16,32', '--predict', '3', '--repetitions', '1']

test('phi2 bench prints a table with a row for each test', async () => {
  const { code, stdout, stderr } = await phi2(['bench', 'tiny', ...quick, '--streams', '1', '--streams', '2'])
  assert.deepEqual([code, stderr], [0, ''])
  const [headings, ...rows] = stdout.trimEnd().split('\n')
  assert.match(headings!, /^model +type +size +parameters +device +threads +test +t\/s$/)
  const tests = ['pp16', 'pp32', 'tg3', 'pp16 ×2', 'pp32 ×2', 'tg3 ×2']
  assert.equal(rows.length, tests.length)
  for (const [index, row] of rows.entries()) {
    assert.match(
      row,
      new RegExp(`^phi-2-tiny +Q8_0 +41\\.6 MB +39\\.0 M +CPU +1 +${tests[index]} +\\d+\\.\\d\\d ± 0\\.00$`),
    )
  }
})

test('without a model it says that the toy was measured, and how to measure the real one', async () => {
  const { code, stdout, stderr } = await phi2(['bench', ...quick, '--json'])
  assert.equal(code, 0)
  const [{ info, tests }, second] = JSON.parse(stdout)
  assert.deepEqual([info.name, info.embedded, second], ['phi-2-tiny', true, undefined])
  assert.deepEqual(
    tests.map(({ name, speed }: { name: string; speed: { samples: number[] } }) => [name, speed.samples.length]),
    [
      ['pp16', 1],
      ['pp32', 1],
      ['tg3', 1],
    ],
  )
  assert.match(stderr, /embedded toy model.*\n.*phi2 bench --synth q4_k_m/)
})

test('what was measured before a failure is printed', async () => {
  const { code, stdout, stderr } = await phi2(['bench', 'tiny', './nothing.gguf', ...quick])
  assert.equal(code, 1)
  assert.equal(stdout.trimEnd().split('\n').length, 4)
  assert.match(stderr, /nothing\.gguf.*\(PHI2_MODEL_NOT_FOUND\)/)
})

test('profiles are shown, used by every command, and removed', async () => {
  const cache = temporaryFolder()
  const run = (...args: string[]) => phi2(args, { env: { PHI2_CACHE: cache } })
  const empty = await run('tune', '--show')
  assert.deepEqual([empty.code, empty.stdout], [0, ''])
  assert.match(empty.stderr, /no profile is stored \(.*tuned\.json\)/)

  const measured = await run('tune', 'tiny', '--prompt', '33', '--predict', '2', '--repetitions', '1', '--json')
  assert.deepEqual([measured.code, measured.stderr], [0, ''])
  const result = JSON.parse(measured.stdout)
  assert.equal(result.path, join(cache, 'tuned.json'))
  const profile: TunedProfile = {
    key: result.key,
    options: { threads: 1, batchSize: 128, microBatchSize: 64, flashAttention: false },
    gain: { prefill: 1.2, decode: 1.1, total: 1.15 },
    promptTokens: 33,
    predictTokens: 2,
    date: '2025-01-31T12:00:00.000Z',
  }
  await storeProfile(profile, result.path)

  const shown = await run('tune', '--show')
  assert.deepEqual([shown.code, shown.stderr], [0, ''])
  assert.match(
    shown.stdout,
    /q8_0 +43\.4 MB +threads 1, batchSize 128, microBatchSize 64, flashAttention false +1\.15 × +2025-01-31\n$/,
  )
  const json = JSON.parse((await run('tune', '--show', '--json')).stdout)
  assert.deepEqual(json, { path: result.path, profiles: [profile] })

  const used = JSON.parse((await run('info', '--model', 'tiny', '--json')).stdout)
  assert.deepEqual([used.batchSize, used.microBatchSize, used.flashAttention], [128, 64, false])
  const text = (await run('info', '--model', 'tiny', '--threads', '1')).stdout
  assert.match(text, /^tuned +batchSize 128, microBatchSize 64, flashAttention false \(phi2 tune, 2025-01-31/m)
  const plain = JSON.parse((await run('info', '--model', 'tiny', '--no-tuned', '--json')).stdout)
  assert.deepEqual([plain.batchSize, plain.tuned], [512, undefined])

  const removed = await run('tune', '--reset')
  assert.deepEqual([removed.code, removed.stdout, removed.stderr], [0, '', 'phi2: 1 profile removed.\n'])
  assert.deepEqual(readdirSync(cache), [])
})
