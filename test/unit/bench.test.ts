import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BenchOptions, bench } from '../../src/bench/bench.js'
import { batchCandidates, threadCandidates } from '../../src/bench/candidates.js'
import { type CompareTypesOptions, compareTypes } from '../../src/bench/compare-types.js'
import { fastestWithin, paretoFront } from '../../src/bench/pareto.js'
import { chooseTrial, isBetter, isSame, type Stage, search, type Times } from '../../src/bench/search.js'
import { median, summarize } from '../../src/bench/speed.js'
import { type TuneOptions, tune } from '../../src/bench/tune.js'
import type { TunedOptions } from '../../src/types.js'
import '../helpers/empty-cache.js'

const defaults: TunedOptions = { threads: 4, batchSize: 512, microBatchSize: 512, flashAttention: 'auto' }
const times = (...totals: number[]): Times[] => totals.map((total) => ({ prompt: total / 2, decode: total / 2 }))

test('a speed is summed up by mean, median and the deviation of the samples', () => {
  assert.deepEqual(summarize([1, 2, 6]), { mean: 3, deviation: Math.sqrt(7), median: 2, samples: [1, 2, 6] })
  assert.deepEqual(summarize([5]), { mean: 5, deviation: 0, median: 5, samples: [5] })
  assert.deepEqual([median([4, 1, 3, 2]), median([3, 1, 2])], [2.5, 2])
})

test('better is what was sooner in every round and by more than 2 % in the middle one', () => {
  assert.ok(isBetter(times(90, 95, 80), times(100, 100, 100)))
  assert.ok(!isBetter(times(90, 101, 80), times(100, 100, 100)), 'slower once')
  assert.ok(!isBetter(times(99, 99, 80), times(100, 100, 100)), 'by 1 %')
  assert.ok(!isBetter(times(100), times(100)))
  assert.ok(!isBetter([], times(100)))
})

test('rounds are compared with each other: what slows the machine down for a while decides nothing', () => {
  assert.ok(isBetter(times(90, 450, 90), times(100, 500, 100)))
  assert.ok(isBetter(times(90, 90), times(200)), 'what was given up after one round')
})

test('where nothing is better, the one in use stays', () => {
  const trials = [times(101, 99), times(100, 100), times(99, 101)].map((each) => ({ options: defaults, times: each }))
  for (const preset of [0, 1, 2]) assert.equal(chooseTrial(trials, preset), preset)
  assert.equal(chooseTrial([...trials, { options: defaults, times: times(50, 50) }], 1), 3)
})

/** A machine whose answers take what `cost` says; every call is noted. */
function machine(cost: (options: TunedOptions, call: number) => number) {
  const calls: TunedOptions[] = []
  const measure = async (options: TunedOptions): Promise<Times> => {
    const total = cost(options, calls.length)
    calls.push(options)
    return { prompt: total / 4, decode: (total * 3) / 4 }
  }
  return { calls, measure }
}

const stages: Stage[] = [
  { name: 'threads', candidates: [2, 3, 4].map((threads) => ({ threads })) },
  { name: 'flash', candidates: [{ flashAttention: 'auto' }, { flashAttention: false }] },
]

test('each stage goes on with what the one before chose, candidates taking turns', async () => {
  const { calls, measure } = machine(
    ({ threads, flashAttention }) => 100 - 10 * (4 - threads) - (flashAttention ? 0 : 5),
  )
  const steps: [number, string][] = []
  const found = await search({ defaults, stages, rounds: 2 }, measure, (...step) => steps.push(step))
  assert.deepEqual(found.options, { ...defaults, threads: 2, flashAttention: false })
  assert.deepEqual(
    calls.map(({ threads, flashAttention }) => `${threads} ${flashAttention}`),
    [
      ...['2 auto', '3 auto', '4 auto', '2 auto', '3 auto', '4 auto'],
      ...['2 auto', '2 false', '2 auto', '2 false'],
      ...['4 auto', '2 false', '4 auto', '2 false'],
    ],
  )
  assert.deepEqual(
    found.stages.map(({ name, chosen }) => [name, chosen]),
    [
      ['threads', 0],
      ['flash', 1],
    ],
  )
  assert.equal(found.confirmation?.chosen.times.length, 2)
  assert.deepEqual(
    steps.map(([fraction]) => Math.round(fraction * 14)),
    Array.from({ length: 14 }, (_, index) => index),
  )
  assert.deepEqual([...new Set(steps.map(([, stage]) => stage))], ['threads', 'flash', 'confirmation'])
})

test('what is hopelessly slow in the first round is not measured again', async () => {
  const { calls, measure } = machine(({ threads }) => (threads === 2 ? 200 : 100))
  const found = await search({ defaults, stages: stages.slice(0, 1), rounds: 3 }, measure, () => {})
  assert.equal(calls.filter(({ threads }) => threads === 2).length, 1)
  assert.equal(calls.filter(({ threads }) => threads === 3).length, 3)
  assert.deepEqual(found.options, defaults)
  assert.equal(found.confirmation, undefined, 'the defaults need not prove themselves')
})

test('the defaults are not given up because something disturbed their first round', async () => {
  const twoThreads = ({ threads }: TunedOptions) => threads === 2
  // [which calls are disturbed: the defaults' first of a stage, and of the confirmation]
  for (const disturbed of [[2], [2, 9]]) {
    const { calls, measure } = machine((options, call) =>
      disturbed.includes(call) ? 200 : twoThreads(options) && call < 9 ? 90 : 100,
    )
    const found = await search({ defaults, stages: stages.slice(0, 1), rounds: 3 }, measure, () => {})
    assert.equal(found.confirmation?.defaults.times.length, 3)
    assert.deepEqual(found.options, defaults, 'what is as fast in two rounds of three is not better')
    assert.equal(calls.length, 9 + 6)
  }
})

test('options that only looked better are given up in the end', async () => {
  // better for as long as the stages last
  const { measure } = machine(({ threads }, call) => (threads === 2 && call < 10 ? 80 : 100))
  const found = await search({ defaults, stages, rounds: 2 }, measure, () => {})
  assert.equal(found.stages[0]?.chosen, 0)
  assert.deepEqual(found.options, defaults)
  assert.equal(found.confirmation?.chosen.options.threads, 2)
})

test('noise does not move the defaults', async () => {
  let state = 7
  const noise = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
  let moved = 0
  for (let run = 0; run < 100; run++) {
    const { measure } = machine(() => 100 + 4 * noise())
    const { options } = await search({ defaults, stages, rounds: 3 }, measure, () => {})
    if (!isSame(options, defaults)) moved++
  }
  assert.ok(moved <= 5, `${moved} of 100`)
})

test('thread counts to try lie around the cores, within the processors, the default among them', () => {
  assert.deepEqual(threadCandidates(1, 1, 1), [1])
  assert.deepEqual(threadCandidates(2, 2, 2), [1, 2])
  assert.deepEqual(threadCandidates(4, 4, 4), [1, 2, 3, 4])
  assert.deepEqual(threadCandidates(16, 8, 8), [4, 7, 8, 12, 16])
  assert.deepEqual(threadCandidates(128, 64, 64), [16, 32, 63, 64, 96, 128])
  assert.deepEqual(threadCandidates(16, 8, 1), [1, 4, 7, 8, 12, 16], 'of a small model')
})

test('batches to try fit the prompt, the default among them; a micro-batch is no larger than its batch', () => {
  for (const promptTokens of [1, 64, 512, 1500, 2048]) {
    const candidates = batchCandidates(promptTokens)
    assert.ok(candidates.some(({ batchSize, microBatchSize }) => batchSize === 512 && microBatchSize === 512))
    for (const { batchSize, microBatchSize } of candidates) {
      assert.ok(microBatchSize <= batchSize && batchSize <= Math.max(512, promptTokens))
    }
    assert.equal(new Set(candidates.map((each) => JSON.stringify(each))).size, candidates.length)
  }
  assert.deepEqual(
    batchCandidates(1024).map(({ batchSize }) => batchSize),
    [256, 512, 1024, 512, 512, 512],
  )
})

test('worth a choice is what nothing surpasses in one respect without falling behind in the other', () => {
  const items = [
    { speed: 30, loss: 1.05 },
    { speed: 20, loss: 1.01 },
    { speed: 19, loss: 1.02 },
    { speed: 10, loss: 1 },
    { speed: 10, loss: 1 },
    { speed: 10, loss: 1.001 },
  ]
  assert.deepEqual(paretoFront(items), [true, true, false, true, true, false])
  assert.equal(fastestWithin(items, 1.02), 1)
  assert.equal(fastestWithin(items, 0.9), undefined)
  assert.equal(fastestWithin(items, Number.POSITIVE_INFINITY), 0)
})

test('wrong options of bench, tune and compareTypes are refused before anything is loaded', async () => {
  const model = './there-is-no-such-file.gguf'
  for (const options of [
    { prompt: -1 },
    { prompt: [128, 1.5] },
    { prompt: [] },
    { prompt: '512' },
    { prompt: 0, predict: 0 },
    { predict: 2049 },
    { streams: 0 },
    { streams: 65 },
    { streams: 8, maxSequences: 4 },
    { streams: 8, contextSize: 2048 },
    { repetitions: 0 },
    { random: { type: 'q4_0' } },
    { onProgress: 1 },
    { rounds: 3 },
  ]) {
    await assert.rejects(
      bench({ model, ...options } as BenchOptions),
      { code: 'PHI2_INVALID_OPTION' },
      JSON.stringify(options),
    )
  }
  await assert.rejects(bench({ random: { type: 'iq1_s' as 'q4_0' } }), { code: 'PHI2_INVALID_OPTION' })
  for (const options of [
    { prompt: 0 },
    { predict: 1 },
    { prompt: 2000, predict: 100 },
    { repetitions: 0 },
    { dryRun: 1 },
    { threads: 2 },
    { kvType: 'f64' },
  ]) {
    await assert.rejects(
      tune({ model, ...options } as TuneOptions),
      { code: 'PHI2_INVALID_OPTION' },
      JSON.stringify(options),
    )
  }
  for (const options of [
    { types: [] },
    { types: 'q4_0' },
    { types: ['q9_9'] },
    { types: ['iq1_s'] },
    { text: 'A text without a model.' },
    { model, random: { layers: 2 } },
    { model, text: '' },
    { batchSize: 64 },
  ]) {
    await assert.rejects(
      compareTypes(options as CompareTypesOptions),
      { code: 'PHI2_INVALID_OPTION' },
      JSON.stringify(options),
    )
  }
})

test('bench, tune and compareTypes say that there is no such model', async () => {
  const model = './there-is-no-such-file.gguf'
  for (const measure of [bench, tune, compareTypes]) {
    await assert.rejects(measure({ model }), { code: 'PHI2_MODEL_NOT_FOUND' })
  }
})
