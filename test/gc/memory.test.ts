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

test('memory stays flat over many rounds of load, answer and close', { timeout: 240_000 }, async () => {
  const round = async (): Promise<void> => {
    await using phi2 = await Phi2.load({ model: 'tiny' })
    await phi2.ask('What is the capital of France?')
  }
  for (let i = 0; i < 8; i++) await round()
  const before = await rss()
  for (let i = 0; i < 30; i++) await round()
  const grown = (await rss()) - before
  // One leaked model would be 43 MB and more a round.
  assert.ok(grown < 40e6, `grew by ${Math.round(grown / 1e6)} MB in 30 rounds`)
})

test('memory stays flat over many answers of one model', { timeout: 240_000 }, async () => {
  await using phi2 = await Phi2.load({ model: 'tiny' })
  const round = async (i: number): Promise<void> => {
    const generation = phi2.ask(`What is ${i % 20} + ${i % 7}?`, { topLogprobs: i % 3 })
    if (i % 5 === 0) for await (const _ of generation) break
    else await generation
  }
  for (let i = 0; i < 60; i++) await round(i)
  const before = await rss()
  for (let i = 0; i < 400; i++) await round(i)
  const grown = (await rss()) - before
  assert.ok(grown < 25e6, `grew by ${Math.round(grown / 1e6)} MB in 400 answers`)
})
