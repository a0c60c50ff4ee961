import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Phi2Error } from '../../src/errors.js'
import type { Generation } from '../../src/generation.js'
import { Phi2 } from '../../src/phi2.js'
import type { Answer, GenerateOptions } from '../../src/types.js'
import { loadTiny } from '../helpers/model.js'

// What shares a step and how its cells lie changes how numbers are rounded: with steps of less than 64 tokens and less than
// 512 cells, where the engine's attention does not choose another way, by about 0.01 nats for this model, mostly not at all.
const exact = { model: 'tiny', contextSize: 256, batchSize: 32 } as const
const phi2 = await loadTiny()
const quiet = await loadTiny(exact)
const noEnd = { 50256: Number.NEGATIVE_INFINITY }
const runOn = { profile: 'none', logitBias: noEnd } as const
// Here the likeliest token is always at least 0.1 nats ahead of the next, so that rounding decides nothing.
const questions = ['What is 7 * 8?', 'Name a colour.', 'What color is an elephant?', 'What is 2 + 4?']
const beginnings = questions.map((question) => `Instruct: ${question}\nOutput:`)
const times = beginnings[0]!
const sampled = { temperature: 1.5, topP: 1, topK: 0, minP: 0 } as const
const examples = `${'Question: What is 1 + 1?\nAnswer: It is 2.\n\n'.repeat(70)}`

async function rejection(promise: PromiseLike<unknown>): Promise<Phi2Error> {
  return promise.then(
    () => assert.fail('expected a rejection'),
    (error) => error,
  )
}

/** One after the other, in a model where nothing else runs. */
async function alone(prompts: readonly string[], options: GenerateOptions): Promise<Answer[]> {
  const answers: Answer[] = []
  for (const prompt of prompts) answers.push(await quiet.complete(prompt, options))
  return answers
}

const texts = (answers: readonly Answer[]): string[] => answers.map(({ text }) => text)

// --- cells ---

test('answers that need more cells than there are lose their places in turn, and no text', async () => {
  const options = { ...runOn, maxTokens: 120 }
  const expected = texts(await alone(beginnings, options))
  await using small = await Phi2.load({ ...exact, maxSequences: 4 })
  for (let round = 0; round < 2; round++) {
    const generations = beginnings.map((prompt) => small.complete(prompt, options))
    const streamed = generations.map(async (generation) => {
      let text = ''
      for await (const chunk of generation) text += chunk
      return text
    })
    const answers = await Promise.all(generations)
    assert.deepEqual(texts(answers), expected)
    assert.deepEqual(await Promise.all(streamed), expected)
    for (const { usage, tokens } of answers) {
      assert.equal(usage.completionTokens, 120)
      assert.equal(tokens.length, 120)
    }
  }
  assert.ok(small.stats.preemptions >= 2, 'four times 120 tokens do not fit at once')
  assert.ok(small.stats.cachedTokens <= 256)
})

test('eight answers of 128 tokens run together in 512 cells, all of them to the end', async () => {
  await using crowded = await Phi2.load({ model: 'tiny', contextSize: 512, maxSequences: 8 })
  const generations = Array.from({ length: 8 }, (_, i) => crowded.complete(`Story ${i}:`, { ...runOn, maxTokens: 128 }))
  for await (const _ of generations[7]!) break
  const answers = await Promise.all(generations.slice(0, 7))
  for (const { usage } of answers) assert.equal(usage.completionTokens, 128)
  // One after the other would be a step for each token; every token is read a few times at most.
  assert.ok(crowded.stats.steps < (7 * 128) / 2, `${crowded.stats.steps} steps`)
  assert.ok(crowded.stats.decodedTokens < 3 * 8 * 132, `${crowded.stats.decodedTokens} tokens decoded`)
})

test('sixteen questions after a common beginning fit beside each other, and the beginning is read once', async () => {
  await using wide = await Phi2.load({ model: 'tiny', maxSequences: 16 })
  const common = await wide.countTokens(examples)
  assert.ok(common > 1000)
  const generations = Array.from({ length: 16 }, (_, i) =>
    wide.complete(`${examples}Question: What is ${i} + 2?\nAnswer:`, { ...runOn, maxTokens: 16 }),
  )
  const answers = await Promise.all(generations)
  const own = answers.reduce((sum, { usage }) => sum + usage.promptTokens - common + usage.completionTokens, 0)
  const { decodedTokens, preemptions } = wide.stats
  // At the seam the tokens of a prompt can differ from those of its beginning.
  assert.ok(decodedTokens <= common + own + 16, `${decodedTokens} tokens decoded, ${common} + ${own} expected`)
  assert.equal(preemptions, 0)
  for (const { usage } of answers.slice(1)) assert.ok(usage.cachedTokens >= common - 1)
  assert.ok(wide.stats.cachedTokens <= common + own + 16, 'shared cells count once')
})

test('a cache that is full to the last cell decodes all the same', async () => {
  await using small = await Phi2.load({ model: 'tiny', contextSize: 256, maxSequences: 4 })
  const counts = await Promise.all(beginnings.slice(0, 2).map((prompt) => small.countTokens(prompt)))
  // Reproducible answers have all their cells from the beginning; the last token needs none.
  const [first, second] = await Promise.all(
    beginnings
      .slice(0, 2)
      .map((prompt, i) => small.complete(prompt, { ...runOn, ...sampled, seed: 1, maxTokens: 129 - counts[i]! })),
  )
  assert.equal(first!.usage.totalTokens + second!.usage.totalTokens, 258)
  assert.equal(small.stats.cachedTokens, 256)
  assert.equal(small.stats.preemptions, 0)
  const next = await small.complete('word '.repeat(240), { ...runOn, maxTokens: 10 })
  assert.equal(next.usage.completionTokens, 10)
})

test('answers with a seed have the same text after others were preempted for want of cells', async () => {
  const options = { ...runOn, ...sampled, seed: 7, maxTokens: 150 }
  await using small = await Phi2.load({ model: 'tiny', contextSize: 256, maxSequences: 4 })
  const seeded = small.complete(beginnings[0]!, options)
  const others = Array.from({ length: 3 }, (_, i) => small.complete(`Story ${i}:`, { ...runOn, maxTokens: 100 }))
  await Promise.all([seeded, ...others])
  assert.ok(small.stats.preemptions > 0)
  const again = await small.complete(beginnings[0]!, options)
  const elsewhere = await phi2.complete(beginnings[0]!, options)
  assert.equal(again.text, elsewhere.text)
})

// --- several answers ---

test('n answers come from one reading of the prompt, each with its own seed and its own text', async () => {
  await using fresh = await Phi2.load({ model: 'tiny' })
  const answer = await fresh.complete(examples, { ...runOn, ...sampled, n: 5, seed: 3, maxTokens: 20 })
  const { choices = [], usage } = answer
  assert.equal(choices.length, 5)
  assert.deepEqual(
    choices.map(({ seed }) => seed),
    [3, 4, 5, 6, 7],
  )
  assert.ok(new Set(texts(choices)).size > 3)
  assert.equal(answer.text, choices[0]!.text)
  assert.equal(choices[0]!.choices, undefined)
  assert.deepEqual(usage, {
    promptTokens: choices[0]!.usage.promptTokens,
    completionTokens: 100,
    totalTokens: choices[0]!.usage.promptTokens + 100,
    cachedTokens: 0,
    acceptedPredictionTokens: 0,
    rejectedPredictionTokens: 0,
  })
  for (const choice of choices.slice(1)) assert.equal(choice.usage.cachedTokens, usage.promptTokens - 1)
  // The prompt once, its last token for the four others, and all new tokens but the last of each.
  assert.equal(fresh.stats.decodedTokens, usage.promptTokens + 4 + 5 * 19)
})

test('the same seed and the same n give the same answers, whatever was in the cache, more of them than places too', async () => {
  const options = { ...runOn, ...sampled, n: 11, seed: 3, maxTokens: 20 }
  const first = await phi2.complete(beginnings[1]!, options)
  const again = await phi2.complete(beginnings[1]!, options)
  await using fresh = await Phi2.load({ model: 'tiny' })
  const elsewhere = await fresh.complete(beginnings[1]!, options)
  assert.equal(first.choices?.length, 11)
  assert.deepEqual(texts(again.choices!), texts(first.choices!))
  assert.deepEqual(texts(elsewhere.choices!), texts(first.choices!))
})

test('iterating streams the first answer; the others can be iterated and awaited by themselves', async () => {
  const generation = phi2.ask('What is the capital of France?', { n: 3 })
  const [first, second, third] = generation.choices as [Generation, Generation, Generation]
  assert.equal(first, generation)
  const read = async (one: Generation): Promise<string> => {
    let text = ''
    for await (const chunk of one) text += chunk
    return text
  }
  const streamed = await Promise.all([read(first), read(second)])
  const answer = await generation
  assert.deepEqual(streamed, ['The capital of France is Paris.', 'The capital of France is Paris.'])
  assert.deepEqual(texts(answer.choices!), [answer.text, answer.text, answer.text])
  assert.equal((await third).text, third.text)
  assert.equal((await third).choices, undefined)
  assert.deepEqual(third.choices, [third])
})

test('aborting the first of several aborts all, aborting another only that one', async () => {
  const all = phi2.complete('Once upon a time', { ...runOn, n: 3, maxTokens: 1500 })
  await Promise.race(all.choices.map((choice) => choice[Symbol.asyncIterator]().next()))
  const reason = new Error('enough')
  all.abort(reason)
  for (const choice of all.choices) assert.equal(await rejection(choice), reason)

  const some = phi2.complete('Once upon a time', { ...runOn, n: 3, maxTokens: 40 })
  some.choices[1]!.abort(reason) // before it has an id
  assert.equal((await some.choices[2]!).usage.completionTokens, 40)
  assert.equal(await rejection(some.choices[1]!), reason)
  assert.equal(await rejection(some), reason)
  assert.ok(some.text.length > 40)

  const { signal } = new AbortController()
  const controller = new AbortController()
  const signalled = phi2.complete('Once upon a time', {
    ...runOn,
    n: 2,
    maxTokens: 1500,
    signal: AbortSignal.any([signal, controller.signal]),
  })
  await signalled[Symbol.asyncIterator]().next()
  controller.abort(reason)
  assert.equal(await rejection(signalled.choices[1]!), reason)
  assert.equal(await rejection(signalled), reason)
})

test('of several answers in a chat the first becomes the turn', async () => {
  const chat = phi2.chat()
  const answer = await chat.say('Hello there.', { n: 3, temperature: 1.5 })
  assert.equal(answer.choices?.length, 3)
  assert.deepEqual(chat.turns, [{ user: 'Hello there.', assistant: answer.text }])
  assert.equal(answer.choices![1]!.droppedTurns, 0)
  await chat.say('And now?')
})

test('several functions each have their whole source', async () => {
  const { choices = [], source } = await phi2.code(
    { signature: 'def is_even(n):', docstring: 'Is n even?' },
    { n: 2, temperature: 1 },
  )
  assert.equal(choices[0]!.source, source)
  for (const choice of choices) {
    assert.ok(choice.source.startsWith('def is_even(n):'))
    assert.ok(choice.source.endsWith(choice.text))
  }
})

// --- order ---

/** The names of promises in the order in which they settle. */
async function order(running: Readonly<Record<string, PromiseLike<unknown>>>): Promise<string[]> {
  const settled: string[] = []
  const note = async ([name, one]: [string, PromiseLike<unknown>]): Promise<void> => {
    await one
    settled.push(name)
  }
  await Promise.all(Object.entries(running).map(note))
  return settled
}

test('a higher priority gets the next place first, and takes that of a lower one', async () => {
  await using single = await Phi2.load({ ...exact, maxSequences: 1 })
  const options = { ...runOn, maxTokens: 30 }
  const low = single.complete(times, { ...options, maxTokens: 200, priority: -1 })
  await low[Symbol.asyncIterator]().next()
  const settled = await order({
    low,
    normal: single.complete('A:', options),
    second: single.complete('B:', options),
    high: single.complete('C:', { ...options, priority: 100 }),
  })
  assert.deepEqual(settled, ['high', 'normal', 'second', 'low'])
  const [expected] = await alone([times], { ...options, maxTokens: 200 })
  assert.equal((await low).text, expected!.text)
})

test('answers of one priority come in the order in which they were asked for', async () => {
  await using single = await Phi2.load({ model: 'tiny', maxSequences: 1 })
  const prompts = ['a', `${'long '.repeat(500)}`, 'c', 'd']
  const running = prompts.map((prompt, i) => [`${i}`, single.complete(prompt, { ...runOn, maxTokens: 5 })] as const)
  assert.deepEqual(await order(Object.fromEntries(running)), ['0', '1', '2', '3'])
  assert.equal(single.stats.preemptions, 0)
})

test('a large request is not overtaken by small ones, whose cells it waits for', async () => {
  await using small = await Phi2.load({ model: 'tiny', contextSize: 512, maxSequences: 4 })
  const first = Array.from({ length: 3 }, (_, i) => small.complete(`Story ${i}:`, { ...runOn, maxTokens: 60 }))
  const large = small.complete('word '.repeat(480), { ...runOn, maxTokens: 2 })
  const later = Array.from({ length: 8 }, (_, i) => small.complete(`Tale ${i}:`, { ...runOn, maxTokens: 60 }))
  const settled = await order(Object.fromEntries([...first, large, ...later].map((one, i) => [i, one])))
  assert.deepEqual(settled.indexOf('3'), 3)
})

test('one request more than may wait is refused with both counts, and the others are answered', async () => {
  await using busy = await Phi2.load({ model: 'tiny', maxSequences: 2, maxQueue: 3 })
  const running = Array.from({ length: 2 }, (_, i) => busy.complete(`Story ${i}:`, { ...runOn, maxTokens: 1500 }))
  await Promise.all(running.map((one) => one[Symbol.asyncIterator]().next()))
  const waiting = Array.from({ length: 40 }, (_, i) =>
    busy.complete(`Tale ${i}:`, { ...runOn, n: 1 + (i % 2), maxTokens: 5 }),
  )
  const refused = await Promise.all(waiting.slice(3).map((one) => rejection(one)))
  for (const error of refused) {
    assert.equal(error.code, 'PHI2_BUSY')
    assert.match(error.message, /\b\d+ requests wait.*maxQueue is 3\b/)
  }
  for (const one of running) one.abort()
  assert.equal((await Promise.all(waiting.slice(0, 3))).length, 3)
  await Promise.allSettled(running)
})

test('with maxQueue 0 nothing waits for a place, but answers from a common beginning need not be there at once', async () => {
  await using impatient = await Phi2.load({ model: 'tiny', maxSequences: 4, maxQueue: 0 })
  const asked = Array.from({ length: 4 }, (_, i) => impatient.ask(`What is ${i} + 1?`))
  assert.equal((await Promise.all(asked)).length, 4)
  const answer = await impatient.complete(examples, { ...runOn, n: 4, maxTokens: 5 })
  assert.equal(answer.choices?.length, 4)
  const prompts = Array.from({ length: 4 }, (_, i) => `${examples}Question: What is ${i} + 5?\nAnswer:`)
  assert.equal((await Promise.all(prompts.map((prompt) => impatient.complete(prompt, { maxTokens: 5 })))).length, 4)
})

test('a reader that stands still gives its place to those who wait for one, and finds its text whole', async () => {
  await using single = await Phi2.load({ ...exact, maxSequences: 1 })
  const options = { ...runOn, maxTokens: 200, highWaterMark: 4 }
  const slow = single.complete(times, options)
  const iterator = slow[Symbol.asyncIterator]()
  await iterator.next()
  while (single.stats.steps === 0 || !(await isStill(single))) await sleep(10)
  assert.equal((await single.ask('What is the capital of France?')).text, 'The capital of France is Paris.')
  assert.equal(single.stats.preemptions, 1)
  const [expected] = await alone([times], options)
  for (let next = await iterator.next(); !next.done; next = await iterator.next());
  assert.equal(slow.text, expected!.text)
  assert.equal((await slow).usage.completionTokens, 200)
})

async function isStill(model: Phi2): Promise<boolean> {
  const { steps } = model.stats
  await sleep(100)
  return model.stats.steps === steps
}

// --- what does not depend on what else runs ---

test('a greedy answer is the same alone, beside seven others, and after a beginning in the cache', async () => {
  const prompts = [...beginnings, ...Array.from({ length: 4 }, (_, i) => `Instruct: What is ${i} + 4?\nOutput:`)]
  const options = { ...runOn, maxTokens: 18, logprobs: true }
  const expected = await alone(prompts, options)
  await using fresh = await Phi2.load(exact)
  for (let round = 0; round < 2; round++) {
    const answers = await Promise.all(prompts.map((prompt) => fresh.complete(prompt, options)))
    for (const [i, { tokens, logprobs = [] }] of answers.entries()) {
      assert.deepEqual(tokens, expected[i]!.tokens)
      for (const [k, { logprob }] of logprobs.entries()) {
        assert.ok(Math.abs(logprob - expected[i]!.logprobs![k]!.logprob) < 0.05)
      }
    }
  }
})

test('32 answers at once all come, each its own', async () => {
  await using wide = await Phi2.load({ model: 'tiny', maxSequences: 32, contextSize: 4096 })
  const answers = await Promise.all(Array.from({ length: 32 }, (_, i) => wide.ask(`What is ${i % 10} + ${i >> 3}?`)))
  for (const [i, { text }] of answers.entries()) assert.match(text, new RegExp(`\\b${(i % 10) + (i >> 3)}\\b`))
  assert.equal(wide.stats.preemptions, 0)
})
