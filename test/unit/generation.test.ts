import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Dispatcher } from '../../src/dispatcher.js'
import { Generation } from '../../src/generation.js'
import type { NativeEndEvent, NativeEngine } from '../../src/native.js'
import { resolveGenerate } from '../../src/options.js'
import { stopProfiles } from '../../src/stops.js'
import type { GenerateOptions } from '../../src/types.js'

const end: NativeEndEvent = {
  reason: 'length',
  rule: -1,
  promptTokens: 1,
  cachedTokens: 0,
  completionTokens: 0,
  acceptedPredictionTokens: 0,
  rejectedPredictionTokens: 0,
  queueMs: 0,
  promptMs: 0,
  decodeMs: 1,
}

/** A generation whose events come from the test, and how often it asked the engine for anything. */
async function start(options: GenerateOptions = {}) {
  const asked = { texts: 0, pauses: 0, resumes: 0 }
  const engine = {
    submit: () => 1,
    abort: () => {},
    pause: () => asked.pauses++,
    resume: () => asked.resumes++,
    tokenText: (token: number) => {
      asked.texts++
      return `<${token}>`
    },
  } as unknown as NativeEngine
  const dispatcher = new Dispatcher()
  const generation = new Generation({
    engine,
    dispatcher,
    options: resolveGenerate(options, { temperature: 0, profile: stopProfiles.none, profileName: 'none' }),
    prompt: async () => ({ tokens: Int32Array.of(1), atLineStart: false }),
    finish: (answer) => answer,
  })
  await new Promise(setImmediate)
  return { generation, dispatcher, asked }
}

// What costs time for each chunk that waits, or for all text so far, does not come to an end with these.
const MANY = 300_000

test('a chunk costs the same however long the answer is, whether it is read or awaited', async () => {
  for (const use of ['awaited', 'read behind', 'read as it comes'] as const) {
    const { generation, dispatcher } = await start()
    const iterator = use === 'awaited' ? undefined : generation[Symbol.asyncIterator]()
    const answer = generation.then()
    let read = ''
    for (let token = 0; token < MANY; token++) {
      dispatcher.onChunk(1, ' word', [token])
      if (use === 'read as it comes' || (use === 'read behind' && token % 1000 === 999)) {
        read += (await iterator!.next()).value
      }
    }
    dispatcher.onEnd(1, { ...end, completionTokens: MANY })
    const { text, tokens } = await answer
    assert.equal(text, ' word'.repeat(MANY))
    assert.deepEqual([tokens.length, tokens.at(-1)], [MANY, MANY - 1])
    if (iterator) assert.deepEqual([read, (await iterator.next()).done], [text, true])
  }
})

test('the engine is asked once for the text of a token, however often it is an alternative', async () => {
  const { generation, dispatcher, asked } = await start({ logprobs: true, topLogprobs: 2 })
  for (let i = 0; i < 1000; i++) {
    const token = i % 7
    dispatcher.onChunk(1, 'x', [token], Float32Array.of(-1), Int32Array.of(token, 7), Float32Array.of(-1, -2))
  }
  dispatcher.onEnd(1, end)
  const { logprobs } = await generation
  assert.equal(asked.texts, 8)
  assert.equal(logprobs?.length, 1000)
  assert.deepEqual(logprobs?.[9], {
    token: 2,
    text: '<2>',
    logprob: -1,
    top: [
      { token: 2, text: '<2>', logprob: -1 },
      { token: 7, text: '<7>', logprob: -2 },
    ],
  })
})

test('an answer is paused once when its reader lags and goes on when it has caught up', async () => {
  const { generation, dispatcher, asked } = await start({ highWaterMark: 3 })
  const iterator = generation[Symbol.asyncIterator]()
  for (let i = 0; i < 5; i++) dispatcher.onChunk(1, 'x', [i])
  assert.deepEqual([asked.pauses, asked.resumes], [1, 0])
  assert.equal((await iterator.next()).value, 'xxxxx')
  assert.deepEqual([asked.pauses, asked.resumes], [1, 1])
})
