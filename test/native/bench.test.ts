import assert from 'node:assert/strict'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { type MadeType, synth } from '../../gguf/index.js'
import { bench, compareTypes, readProfiles, removeProfiles, type TunedProfile, tune } from '../../src/bench/index.js'
import { createRunner } from '../../src/bench/runner.js'
import { tinyModelPath } from '../../src/models/resolve.js'
import { Phi2 } from '../../src/phi2.js'
import { storeProfile, tunedPath } from '../../src/tuned/store.js'
import type { LoadOptions } from '../../src/types.js'
import { loadTiny, temporaryFolder } from '../helpers/model.js'

// A cache of its own: profiles are stored there, and models made.
const cache = temporaryFolder()
process.env.PHI2_CACHE = cache
const small = { layers: 1, embeddingSize: 256, heads: 4 }

test('a workload decodes just its tokens, whatever was decoded before', async () => {
  const phi2 = await loadTiny()
  const run = createRunner(phi2)
  for (const workload of [
    { promptTokens: 40, predictTokens: 5, streams: 1 },
    { promptTokens: 40, predictTokens: 5, streams: 3 },
    { promptTokens: 1, predictTokens: 20, streams: 1 },
  ]) {
    const before = phi2.stats.decodedTokens
    const { completionTokens, promptMs, decodeMs } = await run(workload)
    const { promptTokens, predictTokens, streams } = workload
    assert.equal(completionTokens, predictTokens * streams)
    // One token stands for itself: the request that empties the cache. The last token of an answer is not decoded.
    assert.equal(phi2.stats.decodedTokens - before, 1 + streams * (promptTokens + predictTokens - 1))
    assert.ok(promptMs > 0 && decodeMs > 0)
  }
})

test('bench measures each test as often as it was told, and tells what was loaded', async () => {
  const steps: [number, string][] = []
  const { info, tests } = await bench({
    model: 'tiny',
    prompt: [32, 0, 48, 32],
    predict: 4,
    streams: [1, 2],
    repetitions: 2,
    onProgress: (...step) => steps.push(step),
  })
  assert.deepEqual(
    tests.map(({ name }) => name),
    ['pp32', 'pp48', 'tg4', 'pp32 ×2', 'pp48 ×2', 'tg4 ×2'],
  )
  for (const { speed } of tests) {
    assert.equal(speed.samples.length, 2)
    assert.ok(speed.samples.every((sample) => Number.isFinite(sample) && sample > 0))
  }
  assert.deepEqual([info.embedded, info.contextSize, info.maxSequences], [true, 2048, 8])
  const fractions = steps.map(([fraction]) => fraction)
  assert.deepEqual(
    fractions,
    [...fractions].sort((a, b) => a - b),
  )
  assert.deepEqual([fractions[0], fractions.at(-1)], [0, 1])
})

test('bench makes room for all streams, and refuses what a sequence cannot hold', async () => {
  const { info } = await bench({ model: 'tiny', prompt: 300, predict: 0, streams: 10, repetitions: 1 })
  assert.ok(info.contextSize >= 3000 && info.maxSequences === 10)
  await assert.rejects(bench({ model: 'tiny', prompt: 600, predict: 0, contextSize: 512 }), {
    code: 'PHI2_INVALID_OPTION',
    message: /contextSize of at least 601 .* received 512/,
  })
  await assert.rejects(bench({ model: 'tiny', prompt: 0, predict: 2048, contextSize: 1024 }), {
    code: 'PHI2_INVALID_OPTION',
  })
  const whole = await bench({ model: 'tiny', prompt: 2048, predict: 0, repetitions: 1 })
  assert.equal(whole.tests[0]?.name, 'pp2048')
})

test('many streams under one signal are no reason for a warning', async (t) => {
  const warnings: Error[] = []
  const note = (warning: Error) => void warnings.push(warning)
  process.on('warning', note)
  t.after(() => process.off('warning', note))
  const { signal } = new AbortController()
  await bench({ model: 'tiny', prompt: 2, predict: 0, streams: 12, repetitions: 1, signal })
  assert.deepEqual(warnings, [])
})

test('bench of a random model leaves nothing behind, nor when it is aborted', async () => {
  const random = { type: 'q4_0', ...small } as const
  const { info, tests } = await bench({ random, prompt: 16, predict: 2, repetitions: 1 })
  assert.equal(info.fileType, 'Q4_0')
  assert.equal(tests.length, 2)
  assert.deepEqual(readdirSync(cache), [])
  const stop = new AbortController()
  const reason = new Error('enough')
  const aborted = bench({
    random,
    prompt: 16,
    predict: 500,
    repetitions: 50,
    signal: stop.signal,
    onProgress: (_, step) => {
      if (step === 'tg500') setTimeout(() => stop.abort(reason), 20)
    },
  })
  await assert.rejects(aborted, reason)
  assert.deepEqual(readdirSync(cache), [])
})

test('types are compared by speed alone on random weights', async () => {
  const types: MadeType[] = ['q4_0', 'q8_0', 'q4_0']
  const result = await compareTypes({ types, random: small, prompt: 16, predict: 4, repetitions: 1 })
  assert.deepEqual(
    result.types.map(({ type }) => type),
    ['q4_0', 'q8_0'],
  )
  for (const { bytes, bitsPerWeight, quality, decode } of result.types) {
    assert.ok(bytes > 1e6 && bitsPerWeight > 4 && decode.median > 0)
    assert.equal(quality, undefined, 'nothing is invented')
  }
  // It has most bits: none with as many is faster.
  assert.equal(result.types[1]?.best, true)
  assert.deepEqual([result.recommended, result.reference, result.model], [undefined, undefined, undefined])
  assert.deepEqual(readdirSync(cache), [])
})

test('types are compared by speed and perplexity on a real model', async () => {
  const model = join(temporaryFolder(), 'small-f16.gguf')
  await synth({ ...small, to: model, type: 'f16' })
  const text = 'The sky is blue because air scatters blue light more than red light. '.repeat(100)
  const steps = new Set<string>()
  const result = await compareTypes({
    types: ['q8_0', 'q4_0'],
    model,
    text,
    chunks: 2,
    prompt: 16,
    predict: 4,
    repetitions: 1,
    onProgress: (_, step) => steps.add(step),
  })
  assert.ok(result.reference!.perplexity > 1)
  for (const { quality } of result.types) {
    const { perplexity, error, ratio } = quality!
    assert.ok([perplexity, error, ratio.value, ratio.error].every((value) => Number.isFinite(value) && value > 0))
    assert.ok(Math.abs(perplexity / result.reference!.perplexity - ratio.value) < 1e-6)
  }
  const [q8, q4] = result.types
  assert.ok(Math.abs(Math.log(q8!.quality!.ratio.value)) < Math.abs(Math.log(q4!.quality!.ratio.value)))
  assert.equal(result.model, model)
  assert.ok(result.recommended !== undefined)
  assert.deepEqual(
    [...steps],
    [
      'perplexity of the model',
      ...['q8_0', 'q4_0'].flatMap((type) => [`making ${type}`, `speed of ${type}`, `perplexity of ${type}`]),
      'done',
    ],
  )
  assert.deepEqual(readdirSync(cache), [])
})

test('what does not fit on the disk is refused before anything is written', async () => {
  const random = { layers: 512, embeddingSize: 16384, heads: 512 }
  await assert.rejects(compareTypes({ types: ['q8_0'], random }), { code: 'PHI2_NO_SPACE' })
  await assert.rejects(bench({ random: { type: 'q8_0', ...random } }), { code: 'PHI2_NO_SPACE' })
  assert.deepEqual(readdirSync(cache), [])
})

test('a model that is quantized already is no source of types', async () => {
  await assert.rejects(compareTypes({ model: 'tiny', text: 'x' }), { code: 'PHI2_QUANTIZE_FAILED', message: /q8_0/ })
})

test('tune measures, stores what it chose, and load uses that for what the caller leaves open', async (t) => {
  const stages = new Set<string>()
  const workload = { model: 'tiny', prompt: 33, predict: 2, repetitions: 1 }
  const dry = await tune({ ...workload, dryRun: true, onProgress: (_, stage) => stages.add(stage) })
  assert.deepEqual([dry.path, existsSync(tunedPath())], [undefined, false])
  assert.deepEqual([...stages].slice(0, 3), ['threads', 'batch', 'flash attention'])
  assert.deepEqual(dry.defaults, { threads: 1, batchSize: 512, microBatchSize: 512, flashAttention: 'auto' })
  for (const { trials, chosen } of dry.stages) {
    assert.ok(trials.length > 0 && trials[chosen] !== undefined)
    for (const { prefill, decode } of trials) assert.ok(prefill.median > 0 && decode.median > 0)
  }
  assert.deepEqual([dry.key.fileType, dry.key.kvType, dry.key.device], [7, 'f16', 'CPU'])
  assert.equal((await load({ model: 'tiny' })).tuned, undefined)

  // Another choice than the defaults, as another machine would make it.
  const chosen = { threads: 1, batchSize: 256, microBatchSize: 64, flashAttention: false } as const
  const { key, gain } = dry
  const profile: TunedProfile = {
    key,
    options: chosen,
    gain,
    promptTokens: 33,
    predictTokens: 2,
    date: '2025-01-31T12:00:00.000Z',
  }
  await storeProfile(profile)
  const found = await load({ model: 'tiny' })
  assert.deepEqual(found.tuned, { options: chosen, date: profile.date, path: tunedPath() })
  assert.deepEqual([found.batchSize, found.microBatchSize, found.flashAttention], [256, 64, false])

  await t.test('what is given wins, and tuned: false leaves all of it out', async () => {
    const given = await load({ model: 'tiny', batchSize: 32, flashAttention: true })
    assert.deepEqual([given.batchSize, given.microBatchSize, given.flashAttention], [32, 32, true])
    assert.deepEqual(given.tuned?.options, { threads: 1, microBatchSize: 32 })
    assert.equal((await load({ model: 'tiny', ...chosen })).tuned, undefined)
    const plain = await load({ model: 'tiny', tuned: false })
    assert.deepEqual([plain.batchSize, plain.tuned], [512, undefined])
  })

  await t.test('another kind of model and another cache type do not use it', async () => {
    assert.equal((await load({ model: 'tiny', kvType: 'f32' })).tuned, undefined)
    const other = join(temporaryFolder(), 'other.gguf')
    await synth({ ...small, to: other, type: 'q8_0' })
    assert.equal((await load({ model: other })).tuned, undefined)
  })

  await t.test('measuring again replaces it, and nothing that tune does depends on it', async () => {
    const again = await tune(workload)
    assert.equal(again.path, tunedPath())
    assert.deepEqual(again.defaults, dry.defaults)
    const [stored, second] = readProfiles()
    assert.equal(second, undefined)
    assert.deepEqual([stored?.key, stored?.options, stored?.gain], [key, again.options, again.gain])
    assert.deepEqual((await load({ model: 'tiny' })).tuned?.options, again.options)
    assert.equal(await removeProfiles(), 1)
    assert.equal((await load({ model: 'tiny' })).tuned, undefined)
  })
})

test('an aborted tune stores nothing', async () => {
  const stop = new AbortController()
  const reason = new Error('enough')
  const aborted = tune({ model: 'tiny', signal: stop.signal, onProgress: () => setImmediate(() => stop.abort(reason)) })
  await assert.rejects(aborted, reason)
  assert.deepEqual(readdirSync(cache), [])
})

test('where no profile can be stored tune says so before it measures', async (t) => {
  const steps: string[] = []
  const onProgress = (_: number, step: string) => steps.push(step)
  t.after(() => {
    process.env.PHI2_CACHE = cache
  })
  process.env.PHI2_CACHE = join(tinyModelPath(), 'cache')
  await assert.rejects(tune({ model: 'tiny', onProgress }), {
    code: 'PHI2_IO',
    message: /tuned\.json cannot be written/,
  })
  assert.deepEqual(steps, [])
})

test('a damaged file of profiles never fails a load', async () => {
  for (const text of ['', '{', '{"format":"phi2-tuned","version":1,"profiles":[{}]}']) {
    writeFileSync(tunedPath(), text)
    assert.equal((await load({ model: 'tiny' })).tuned, undefined)
  }
})

async function load(options: LoadOptions): Promise<Phi2['info']> {
  await using phi2 = await Phi2.load(options)
  return phi2.info
}
