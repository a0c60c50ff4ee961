import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkOptions, generateSchema, resolveGenerate, resolveLoad } from '../../src/options.js'
import { stopProfiles } from '../../src/stops.js'
import { chooseThreads, defaultThreads } from '../../src/threads.js'
import type { GenerateOptions, LoadOptions } from '../../src/types.js'

const defaults = { temperature: 0, profile: stopProfiles.qa, profileName: 'qa' } as const
const resolve = (options?: object) => resolveGenerate(options as GenerateOptions, defaults)

test('without options every default is filled in', () => {
  const { n_predict, n_probs, sampler, seeds, rules, trim, reproducible, highWaterMark } = resolve()
  assert.equal(n_predict, 512)
  assert.equal(n_probs, -1)
  assert.equal(trim, 'both')
  assert.equal(reproducible, false)
  assert.equal(highWaterMark, 32)
  assert.deepEqual(rules, stopProfiles.qa.rules)
  assert.deepEqual(
    [
      sampler.temp,
      sampler.top_k,
      sampler.top_p,
      sampler.min_p,
      sampler.typical_p,
      sampler.penalty_repeat,
      sampler.dry_multiplier,
    ],
    [0, 40, 0.95, 0.05, 1, 1, 0],
  )
  assert.ok(seeds[0]! >= 0 && seeds[0]! < 0xffffffff)
})

test('undefined counts as not given, null does not', () => {
  assert.equal(resolve({ maxTokens: undefined, stop: undefined }).n_predict, 512)
  for (const name of Object.keys(generateSchema)) {
    assert.throws(() => resolve({ [name]: null }), { code: 'PHI2_INVALID_OPTION' }, name)
  }
})

test('every number refuses NaN, strings and what lies outside its range, by name', () => {
  for (const [name, spec] of Object.entries(generateSchema)) {
    if (spec.type !== 'integer' && spec.type !== 'number') continue
    for (const value of [Number.NaN, '5', Number.POSITIVE_INFINITY, spec.min - 1, spec.max + 1, true, {}]) {
      assert.throws(
        () => resolve({ [name]: value }),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, 'PHI2_INVALID_OPTION')
          assert.match(error.message, new RegExp(`for ${name} but received`))
          return true
        },
      )
    }
    if (spec.type === 'integer') assert.throws(() => resolve({ [name]: 1.5 }), TypeError)
    assert.doesNotThrow(() => resolve({ [name]: spec.max }), name)
  }
})

test('the message says what was expected and what was found', () => {
  assert.throws(() => resolve({ maxTokens: -1 }), {
    name: 'RangeError',
    message: 'Expected an integer of at least 1 and at most 1048576 for maxTokens but received -1 of type number',
  })
  assert.throws(() => resolve({ max_tokens: 5 }), {
    name: 'TypeError',
    message: /Unknown option max_tokens\. Known are: maxTokens/,
  })
  assert.throws(() => resolve({ toString: 1 }), /Unknown option toString/)
  assert.throws(() => checkOptions([] as object, generateSchema), /an array/)
})

test('logprobs and alternatives become one number', () => {
  assert.equal(resolve({ logprobs: true }).n_probs, 0)
  assert.equal(resolve({ topLogprobs: 3 }).n_probs, 3)
  assert.equal(resolve({ logprobs: false, topLogprobs: 0 }).n_probs, -1)
})

test('dry and mirostat fill in their own defaults and refuse what they do not know', () => {
  const { sampler } = resolve({ dry: {} })
  assert.deepEqual(
    [sampler.dry_multiplier, sampler.dry_base, sampler.dry_allowed_length, sampler.dry_last_n],
    [0.8, 1.75, 2, -1],
  )
  assert.deepEqual(sampler.dry_breakers, ['\n', ':', '"', '*'])
  assert.deepEqual(resolve({ dry: { breakers: 'abc' } }).sampler.dry_breakers, ['abc'])
  for (const breakers of [[''], [1], Array(33).fill('x'), ['x'.repeat(65)]]) {
    assert.throws(() => resolve({ dry: { breakers } }), { code: 'PHI2_INVALID_OPTION' })
  }
  assert.throws(() => resolve({ dry: { strength: 1 } }), /Unknown option dry\.strength/)
  const mirostat = resolve({ mirostat: { tau: 3 } }).sampler
  assert.deepEqual([mirostat.mirostat, mirostat.mirostat_tau, mirostat.temp], [true, 3, 0.8])
  assert.throws(() => resolve({ mirostat: {}, temperature: 0 }), /mirostat/)
})

test('logitBias takes ids and numbers or -Infinity', () => {
  const { bias_tokens, bias_values } = resolve({ logitBias: { 5: 1.5, 7: Number.NEGATIVE_INFINITY } }).sampler
  assert.deepEqual([...bias_tokens], [5, 7])
  assert.deepEqual([...bias_values], [1.5, Number.NEGATIVE_INFINITY])
  for (const logitBias of [
    { a: 1 },
    { '-1': 1 },
    { 1: '2' },
    { 1: Number.NaN },
    { 1: Number.POSITIVE_INFINITY },
    { 1: 1e38 },
    { 1: -1001 },
    new Map([[1, 1]]),
    [1],
    'x',
  ]) {
    assert.throws(() => resolve({ logitBias }), { code: 'PHI2_INVALID_OPTION' })
  }
})

test('a seed of the caller’s own makes a sampled answer reproducible', () => {
  assert.equal(resolve({ seed: 5, temperature: 1 }).reproducible, true)
  assert.equal(resolve({ seed: 5 }).reproducible, false)
  assert.equal(resolve({ temperature: 1 }).reproducible, false)
})

test('each of several answers has a seed of its own, the given one and those after it', () => {
  assert.deepEqual(resolve({ seed: 5, n: 3 }).seeds, [5, 6, 7])
  assert.deepEqual(resolve({ seed: 0xfffffffe, n: 3 }).seeds, [0xfffffffe, 0, 1])
  assert.equal(new Set(resolve({ n: 64 }).seeds).size, 64)
  for (const n of [0, 65, 1.5, '2']) assert.throws(() => resolve({ n }), { code: 'PHI2_INVALID_OPTION' })
})

test('priorities go from -100 to 100', () => {
  assert.equal(resolve().priority, 0)
  for (const priority of [-100, 100]) assert.equal(resolve({ priority }).priority, priority)
  for (const priority of [-101, 101, 0.5, 'high']) {
    assert.throws(() => resolve({ priority }), { code: 'PHI2_INVALID_OPTION' })
  }
})

test('stop adds to the profile, and a profile replaces the default one', () => {
  const { rules } = resolve({ stop: ['###'], profile: 'none' })
  assert.deepEqual(rules, [{ text: '###' }])
  assert.equal(resolve({ profile: 'code' }).trim, 'code')
})

test('load options: defaults, ranges, and the reason against quantized KV caches', () => {
  const { contextSize, batchSize, maxSequences, kvType, flashAttention, threads } = resolveLoad({})
  assert.deepEqual(
    [contextSize, batchSize, maxSequences, kvType, flashAttention, threads],
    [2048, 512, 8, 'f16', 'auto', undefined],
  )
  for (const options of [
    { contextSize: 0 },
    { batchSize: 4096 },
    { microBatchSize: 31 },
    { batchSize: 128, microBatchSize: 256 },
    { threads: 0 },
    { maxSequences: 65 },
    { flashAttention: 1 },
    { flashAttention: null },
    { kvType: {} },
    { onProgress: true },
    { signal: {} },
  ]) {
    assert.throws(() => resolveLoad(options as LoadOptions), { code: 'PHI2_INVALID_OPTION' }, JSON.stringify(options))
  }
  assert.throws(() => resolveLoad({ kvType: 'q8_0' as 'f16' }), { code: 'PHI2_UNSUPPORTED_KV_TYPE', message: /80/ })
})

test('a micro-batch is as large as the batch, or what was asked for; a batch holds one at least', () => {
  const sizes = (options: LoadOptions) => {
    const { batchSize, microBatchSize } = resolveLoad(options)
    return [batchSize, microBatchSize]
  }
  assert.deepEqual(sizes({}), [512, 512])
  assert.deepEqual(sizes({ batchSize: 64 }), [64, 64])
  assert.deepEqual(sizes({ microBatchSize: 128 }), [512, 128])
  assert.deepEqual(sizes({ microBatchSize: 1024 }), [1024, 1024])
  assert.deepEqual(sizes({ batchSize: 256, microBatchSize: 256 }), [256, 256])
})

test('small models get one thread, large ones at least one and no more than there are processors', () => {
  assert.equal(defaultThreads(43e6), 1)
  const threads = defaultThreads(1.8e9)
  assert.ok(Number.isInteger(threads) && threads >= 1)
  // More than there are would spin against each other.
  const { threads: clamped, warning } = chooseThreads(512, 1.8e9)
  assert.ok(clamped < 512)
  assert.match(warning!, /512/)
})
