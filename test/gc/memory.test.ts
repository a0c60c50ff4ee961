import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import '../helpers/empty-cache.js'
import { Phi2 } from '../../src/phi2.js'

// Run with --expose-gc.
const collect = (globalThis as { gc?: () => void }).gc
assert.ok(collect, 'run with node --expose-gc')

async function collected(reference: WeakRef<object>): Promise<boolean> {
  for (let i = 0; i < 50 && reference.deref() !== undefined; i++) {
    await sleep(10)
    collect!()
  }
  return reference.deref() === undefined
}

async function rss(): Promise<number> {
  for (let i = 0; i < 5; i++) {
    await sleep(10)
    collect!()
  }
  return process.memoryUsage().rss
}

async function heap(): Promise<number> {
  await rss()
  const { heapUsed, external, arrayBuffers } = process.memoryUsage()
  return heapUsed + external + arrayBuffers
}

test('a closed model is collected', async () => {
  const reference = await (async () => {
    const phi2 = await Phi2.load({ model: 'tiny' })
    await phi2.ask('Hi')
    await phi2.close()
    return new WeakRef(phi2)
  })()
  assert.ok(await collected(reference))
})

test('a model that was never closed is collected too', async () => {
  const reference = await (async () => {
    const phi2 = await Phi2.load({ model: 'tiny' })
    await phi2.ask('Hi')
    return new WeakRef(phi2)
  })()
  assert.ok(await collected(reference))
})

test('collecting while an answer is on its way is harmless, also when nobody holds the model', async () => {
  const answer = await (async () => {
    const phi2 = await Phi2.load({ model: 'tiny' })
    return { generation: phi2.ask('Why is the sky blue?') }
  })()
  const timer = setInterval(() => collect!(), 1)
  const { text } = await answer.generation
  clearInterval(timer)
  assert.match(text, /sunlight/)
})

test('memory stays flat over 200 rounds of load, answer and close', { timeout: 240_000 }, async () => {
  const round = async (): Promise<void> => {
    await using phi2 = await Phi2.load({ model: 'tiny', threads: 1 })
    await phi2.ask('What is the capital of France?', { maxTokens: 4 })
  }
  for (let i = 0; i < 20; i++) await round()
  const before = await rss()
  for (let i = 0; i < 200; i++) await round()
  const grown = (await rss()) - before
  // One leaked model would be 43 MB and more a round, one leaked context 5 MB.
  assert.ok(grown < 60e6, `grew by ${Math.round(grown / 1e6)} MB in 200 rounds`)
})

test('memory stays flat over 1,000 answers of one model', { timeout: 240_000 }, async () => {
  await using phi2 = await Phi2.load({ model: 'tiny', threads: 1 })
  const round = async (i: number): Promise<void> => {
    const generation = phi2.ask(`What is ${i % 20} + ${i % 7}?`, { topLogprobs: i % 3, maxTokens: 8 })
    if (i % 5 === 0) for await (const _ of generation) break
    else await generation
  }
  for (let i = 0; i < 100; i++) await round(i)
  const before = await rss()
  const heapBefore = await heap()
  for (let i = 0; i < 1000; i++) await round(i)
  const grown = (await rss()) - before
  const heapGrown = (await heap()) - heapBefore
  assert.ok(grown < 25e6, `grew by ${Math.round(grown / 1e6)} MB in 1,000 answers`)
  assert.ok(heapGrown < 1e6, `JavaScript grew by ${Math.round(heapGrown / 1e3)} kB in 1,000 answers`)
})

test('memory stays flat over rounds of 32 streams at once, whether they are read, awaited or broken off', {
  timeout: 240_000,
}, async () => {
  await using phi2 = await Phi2.load({ model: 'tiny', threads: 1, contextSize: 4096, maxSequences: 32 })
  const stream = async (i: number): Promise<void> => {
    const generation = phi2.ask(`What is ${i} + ${i % 7}?`, { maxTokens: 12 })
    if (i % 3 === 0) for await (const _ of generation) break
    else if (i % 3 === 1) for await (const text of generation) assert.equal(typeof text, 'string')
    else await generation
  }
  const round = async (): Promise<void> => {
    await Promise.all(Array.from({ length: 32 }, (_, i) => stream(i)))
  }
  for (let i = 0; i < 3; i++) await round()
  const before = await rss()
  const heapBefore = await heap()
  for (let i = 0; i < 12; i++) await round()
  const grown = (await rss()) - before
  const heapGrown = (await heap()) - heapBefore
  assert.ok(grown < 25e6, `grew by ${Math.round(grown / 1e6)} MB in 12 rounds`)
  assert.ok(heapGrown < 1e6, `JavaScript grew by ${Math.round(heapGrown / 1e3)} kB in 12 rounds`)
})

test('an answer of 1,500 tokens takes no more of JavaScript than its text and its ids', {
  timeout: 240_000,
}, async () => {
  await using phi2 = await Phi2.load({ model: 'tiny', threads: 1 })
  const long = (): ReturnType<typeof phi2.complete> =>
    phi2.complete('Once upon a time', { maxTokens: 1500, temperature: 0.8, seed: 5, logitBias: { 50256: -100 } })
  const { text } = await long() // with it, what is compiled and cached by a first answer
  const marks = [0.15, 0.95].map((share) => share * text.length)
  const used: number[] = []
  let read = 0
  for await (const piece of long()) {
    read += piece.length
    if (read >= marks[used.length]!) used.push(await heap())
  }
  assert.equal(used.length, 2)
  // An id is a number of 8 bytes in an array that doubles; a chunk is a string and its place in the whole text.
  const perToken = (used[1]! - used[0]!) / (0.8 * 1500)
  assert.ok(perToken < 300, `each token left ${Math.round(perToken)} bytes behind`)
})
