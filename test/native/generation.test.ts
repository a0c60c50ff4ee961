import assert from 'node:assert/strict'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { synth } from '../../gguf/index.js'
import { Phi2Error } from '../../src/errors.js'
import { Phi2 } from '../../src/phi2.js'
import { loadTiny, temporaryFolder } from '../helpers/model.js'

const phi2 = await loadTiny()
const france = 'What is the capital of France?'
const longPrompt = `Instruct: ${'Name three planets and one colour. '.repeat(200)}\nOutput:`
const noEnd = { 50256: Number.NEGATIVE_INFINITY }
const runOn = { profile: 'none', maxTokens: 1500, logitBias: noEnd } as const

async function rejection(promise: PromiseLike<unknown>): Promise<unknown> {
  return promise.then(
    () => assert.fail('expected a rejection'),
    (error) => error,
  )
}

test('the chunks of an iterated answer join to the text of the awaited one', async () => {
  const generation = phi2.ask(france)
  const chunks: string[] = []
  for await (const chunk of generation) chunks.push(chunk)
  const answer = await generation
  assert.equal(chunks.join(''), answer.text)
  assert.equal(generation.text, answer.text)
  assert.equal(answer.text, 'The capital of France is Paris.')
  assert.equal(answer.finishReason, 'stop')
  assert.equal(answer.stop, 'Instruct:')
  assert.equal(answer.usage.totalTokens, answer.usage.promptTokens + answer.usage.completionTokens)
})

test('an answer can be iterated after it has ended', async () => {
  const generation = phi2.ask(france)
  const { text } = await generation
  let joined = ''
  for await (const chunk of generation) joined += chunk
  assert.equal(joined, text)
})

test('an answer can be iterated once only', async () => {
  const generation = phi2.ask(france)
  for await (const _ of generation) break
  assert.throws(() => generation[Symbol.asyncIterator](), { code: 'PHI2_BUSY' })
})

test('the same seed gives the same text, and another seed another', async () => {
  const options = { temperature: 1.5, topP: 1, topK: 0, minP: 0, maxTokens: 40, profile: 'none' } as const
  await using fresh = await Phi2.load({ model: 'tiny' })
  const texts = new Set<string>()
  for (let seed = 0; seed < 12; seed++) {
    const first = await phi2.ask(france, { ...options, seed })
    const again = await phi2.ask(france, { ...options, seed })
    const elsewhere = await fresh.ask(france, { ...options, seed })
    assert.equal(again.text, first.text)
    assert.equal(elsewhere.text, first.text)
    assert.equal(first.seed, seed)
    texts.add(first.text)
  }
  assert.ok(texts.size > 6, 'other seeds give other texts')
})

test('without a seed one is drawn and reported', async () => {
  const first = await phi2.ask(france, { temperature: 1 })
  const second = await phi2.ask(france, { temperature: 1 })
  assert.ok(Number.isInteger(first.seed))
  assert.notEqual(first.seed, second.seed)
})

test('maxTokens ends an answer with the reason length, and held-back text is not lost', async () => {
  const whole = await phi2.complete(`Instruct: ${france}\nOutput:`, { maxTokens: 12 })
  for (let maxTokens = 1; maxTokens <= 12; maxTokens++) {
    const answer = await phi2.complete(`Instruct: ${france}\nOutput:`, {
      maxTokens,
      stop: ['never there', ' Paris is'],
    })
    assert.equal(answer.usage.completionTokens, maxTokens)
    assert.equal(answer.finishReason, 'length')
    assert.equal(answer.tokens.length, maxTokens)
    assert.ok(whole.text.startsWith(answer.text))
    assert.equal(phi2.detokenize(answer.tokens), answer.text)
  }
})

test('a stop text of the caller ends the answer before it', async () => {
  const answer = await phi2.ask(france, { stop: [' is', 'Paris'] })
  assert.equal(answer.text, 'The capital of France')
  assert.equal(answer.stop, ' is')
})

test('logprobs: one entry for each token, likeliest first, in agreement with greedy choice', async () => {
  const answer = await phi2.ask(france, { topLogprobs: 5 })
  assert.equal(answer.logprobs?.length, answer.tokens.length)
  for (const [i, entry] of answer.logprobs!.entries()) {
    assert.equal(entry.token, answer.tokens[i])
    assert.equal(entry.top.length, 5)
    assert.equal(entry.top[0]!.token, entry.token)
    assert.equal(entry.top[0]!.logprob, entry.logprob)
    assert.ok(entry.logprob <= 0)
    for (let k = 1; k < 5; k++) assert.ok(entry.top[k]!.logprob <= entry.top[k - 1]!.logprob)
    const mass = entry.top.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)
    assert.ok(mass <= 1 + 1e-5)
  }
  assert.equal(
    answer
      .logprobs!.map(({ text }) => text)
      .join('')
      .trim(),
    answer.text,
  )
})

test('logprobs without alternatives carry none', async () => {
  const answer = await phi2.ask(france, { logprobs: true })
  assert.equal(answer.logprobs?.length, answer.tokens.length)
  assert.deepEqual(answer.logprobs?.[0]?.top, [])
})

test('logitBias bans and forces tokens', async () => {
  const [paris] = await phi2.tokenize(' Paris')
  const banned = await phi2.ask(france, { logitBias: { [paris!]: Number.NEGATIVE_INFINITY } })
  assert.ok(!banned.tokens.includes(paris!))
  const forced = await phi2.ask(france, { logitBias: { [paris!]: 1000 }, maxTokens: 3 })
  assert.deepEqual(forced.tokens, [paris, paris, paris])
})

test('padding ids are never sampled, not even when they are wished for', async () => {
  const bias = Object.fromEntries(Array.from({ length: 905 }, (_, i) => [50295 + i, 1000]))
  const answer = await phi2.ask(france, { logitBias: bias, temperature: 2, seed: 1, maxTokens: 20, profile: 'none' })
  assert.ok(answer.tokens.every((token) => token < 50295))
})

test('banning every token is an error, not a crash', async () => {
  const bias = Object.fromEntries(Array.from({ length: 50295 }, (_, i) => [i, Number.NEGATIVE_INFINITY]))
  assert.equal(((await rejection(phi2.ask(france, { logitBias: bias }))) as Phi2Error).code, 'PHI2_DECODE_FAILED')
})

test('every sampler changes what it should and leaves a readable answer', async () => {
  const greedy = (await phi2.complete('Once upon a time', { maxTokens: 60 })).text
  const variants = {
    repeatPenalty: { repeatPenalty: 3 },
    frequencyPenalty: { frequencyPenalty: 5 },
    presencePenalty: { presencePenalty: 10 },
    mirostat: { mirostat: { tau: 9 }, seed: 3 },
    typicalP: { typicalP: 0.2, temperature: 2, seed: 3, topK: 0, topP: 1, minP: 0 },
  }
  for (const [name, options] of Object.entries(variants)) {
    const answer = await phi2.complete('Once upon a time', { maxTokens: 60, ...options })
    assert.notEqual(answer.text, greedy, name)
    assert.equal(answer.usage.completionTokens > 0, true, name)
  }
  // Filters that leave one candidate make any temperature greedy.
  for (const options of [{ topK: 1 }, { topP: 1e-6 }, { minP: 1 }]) {
    const answer = await phi2.complete('Once upon a time', { maxTokens: 60, temperature: 2, seed: 5, ...options })
    assert.equal(answer.text, greedy, JSON.stringify(options))
  }
})

test('DRY keeps the model from repeating a sequence of the prompt', async () => {
  const once = 'Instruct: What is the capital of France?\nOutput: The capital of France is'
  const prompt = `${once} Paris.\n\n${once}`
  const [paris] = await phi2.tokenize(' Paris')
  assert.equal((await phi2.complete(prompt, { maxTokens: 1 })).tokens[0], paris)
  assert.notEqual((await phi2.complete(prompt, { maxTokens: 1, dry: { multiplier: 50 } })).tokens[0], paris)
})

test('penaltyLastN 0 switches the penalties off', async () => {
  const options = { maxTokens: 40 }
  const greedy = await phi2.complete('Once upon a time', options)
  assert.equal(
    (await phi2.complete('Once upon a time', { ...options, repeatPenalty: 3, penaltyLastN: 0 })).text,
    greedy.text,
  )
})

test('two answers at once are what each is alone', async () => {
  const questions = [france, 'Why is the sky blue?', 'What is 7 * 8?', 'Name three planets.']
  const alone: string[] = []
  for (const question of questions) alone.push((await phi2.ask(question)).text)
  const together = await Promise.all(questions.map((question) => phi2.ask(question)))
  assert.deepEqual(
    together.map(({ text }) => text),
    alone,
  )
})

test('more answers than places wait for one and all come', async () => {
  const numbers = Array.from({ length: 24 }, (_, i) => i % 12)
  const answers = await Promise.all(numbers.map((n) => phi2.ask(`What is ${n} + 3?`)))
  for (const [i, answer] of answers.entries()) assert.match(answer.text, new RegExp(`\\b${numbers[i]! + 3}\\b`))
})

test('an abort during decode rejects with the signal’s reason and keeps the text so far', async () => {
  const controller = new AbortController()
  const generation = phi2.complete('Once upon a time', { ...runOn, signal: controller.signal })
  const reason = new Error('enough')
  let text = ''
  const error = await rejection(
    (async () => {
      for await (const chunk of generation) {
        text += chunk
        if (text.length > 40) controller.abort(reason)
      }
    })(),
  )
  assert.equal(error, reason)
  assert.equal(await rejection(generation), reason)
  assert.ok(generation.text.startsWith(text))
  assert.equal((await phi2.ask(france)).text, 'The capital of France is Paris.')
})

test('an abort during prefill settles without a token, and the model goes on', async () => {
  const controller = new AbortController()
  const steps = phi2.stats.steps
  const generation = phi2.complete(longPrompt, { signal: controller.signal })
  while (phi2.stats.steps === steps) await sleep(1)
  controller.abort()
  const error = (await rejection(generation)) as Error
  assert.equal(error.name, 'AbortError')
  assert.equal(generation.text, '')
  assert.equal((await phi2.ask(france)).text, 'The capital of France is Paris.')
})

test('an abort while waiting for a place settles at once', async () => {
  await using small = await Phi2.load({ model: 'tiny', maxSequences: 1 })
  const first = small.complete('Once upon a time', runOn)
  const waiting = small.ask(france)
  await sleep(50)
  waiting.abort()
  assert.equal(((await rejection(waiting)) as Phi2Error).code, 'PHI2_ABORTED')
  first.abort()
  await rejection(first)
})

test('a signal that was aborted before is heeded before anything runs', async () => {
  const reason = new Error('too late')
  const generation = phi2.ask(france, { signal: AbortSignal.abort(reason) })
  assert.equal(await rejection(generation), reason)
  await assert.rejects(async () => {
    for await (const _ of generation) assert.fail('there is no text')
  }, reason)
})

test('break from the iterator stops the engine', async () => {
  const generation = phi2.complete('Once upon a time', runOn)
  for await (const _ of generation) break
  assert.equal(((await rejection(generation)) as Phi2Error).code, 'PHI2_ABORTED')
  const { decodedTokens } = phi2.stats
  await sleep(100)
  assert.equal(phi2.stats.decodedTokens, decodedTokens)
  assert.equal(phi2.stats.active, 0)
})

test('a slow consumer pauses its own sequence and no other', async (t) => {
  const slow = phi2.complete('Once upon a time', { ...runOn, maxTokens: 600, highWaterMark: 4 })
  t.after(() => slow.abort())
  const iterator = slow[Symbol.asyncIterator]()
  await iterator.next()
  let before = -1
  while (phi2.stats.decodedTokens !== before) {
    before = phi2.stats.decodedTokens
    await sleep(200)
  }
  assert.ok(slow.text.length > 0 && phi2.stats.active === 1, 'it goes on although nobody reads')
  assert.equal((await phi2.ask(france)).text, 'The capital of France is Paris.')
  // Reading on resumes it; nothing was lost.
  let text = slow.text
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) text = slow.text
  const whole = await slow
  assert.equal(text, whole.text)
  assert.equal(whole.usage.completionTokens, 600)
})

test('awaiting a paused answer lets it run to its end', async () => {
  const generation = phi2.complete('Once upon a time', { ...runOn, maxTokens: 300, highWaterMark: 1 })
  const iterator = generation[Symbol.asyncIterator]()
  await iterator.next()
  await sleep(50)
  assert.equal((await generation).usage.completionTokens, 300)
})

test('tokens gather while the event loop is busy, and the engine does not wait for it', async () => {
  const generation = phi2.complete('Once upon a time', { ...runOn, maxTokens: 200 })
  const chunks: string[] = []
  for await (const chunk of generation) {
    chunks.push(chunk)
    const until = performance.now() + 50
    while (performance.now() < until);
  }
  const { usage } = await generation
  assert.equal(usage.completionTokens, 200)
  assert.ok(chunks.length < 100, `${chunks.length} chunks for 200 tokens`)
})

test('a prompt longer than a sequence is refused before any decoding, naming both counts', async () => {
  const steps = phi2.stats.steps
  const error = (await rejection(phi2.complete('word '.repeat(3000)))) as Phi2Error
  assert.ok(error instanceof Phi2Error)
  assert.equal(error.code, 'PHI2_CONTEXT_FULL')
  assert.match(error.message, /300\d/)
  assert.match(error.message, /2048/)
  assert.equal(phi2.stats.steps, steps)
})

test('a full context ends the answer with the reason length', async () => {
  await using small = await Phi2.load({ model: 'tiny', contextSize: 256 })
  const answer = await small.complete('Once upon a time', { maxTokens: 1000, logitBias: noEnd })
  assert.equal(answer.finishReason, 'length')
  assert.equal(answer.usage.totalTokens, small.info.sequenceSize + 1)
  const error = (await rejection(small.complete('word '.repeat(300)))) as Phi2Error
  assert.equal(error.code, 'PHI2_CONTEXT_FULL')
  assert.match(error.message, /contextSize/)
})

test('a second prompt with the same beginning reuses the cache and gives the same answer', async () => {
  await using fresh = await Phi2.load({ model: 'tiny' })
  const question = `${'Think about planets. '.repeat(30)}Name three planets.`
  const first = await fresh.ask(question)
  const second = await fresh.ask(question)
  assert.equal(first.usage.cachedTokens, 0)
  assert.equal(second.usage.cachedTokens, second.usage.promptTokens - 1)
  assert.equal(second.text, first.text)
})

test('the cache gives way when new prompts need its cells', async () => {
  await using small = await Phi2.load({ model: 'tiny', contextSize: 256, maxSequences: 4 })
  for (let round = 0; round < 12; round++) {
    const answer = await small.ask(`What is ${round} + 2? ${'Please. '.repeat(20)}`, { maxTokens: 60 })
    assert.ok(answer.usage.completionTokens > 0)
    assert.ok(small.stats.cachedTokens <= 256)
  }
})

test('special text in a question stays plain text, and is the token in complete', async () => {
  const plain = await phi2.tokenize('<|endoftext|>', { special: false })
  assert.ok(plain.length > 1)
  assert.deepEqual(await phi2.tokenize(''), [])
  assert.deepEqual(await phi2.tokenize('<|endoftext|>'), [50256])
  assert.equal(phi2.detokenize(plain), '<|endoftext|>')
})

test('tokenizing a long text gives the same as its parts and does not block the event loop', async () => {
  const text = 'The quick brown fox jumps over the lazy dog. '.repeat(20000)
  let ticks = 0
  const timer = setInterval(() => ticks++, 1)
  const tokens = await phi2.tokenize(text)
  clearInterval(timer)
  assert.ok(ticks > 0)
  assert.equal(phi2.detokenize(tokens), text)
})

test('odd texts survive the way through the tokenizer: NUL, lone surrogates, emoji, runs of spaces and tabs', async () => {
  for (const text of ['a\0b', '👩‍👩‍👧 héllo 日本語', ' '.repeat(40), '\t\t\t\tx', '\r\n\r\n', '\u{10ffff}']) {
    assert.equal(phi2.detokenize(await phi2.tokenize(text)), text)
  }
  assert.equal(phi2.detokenize(await phi2.tokenize('x\ud800y')), 'x\ufffdy')
})

test('bad token ids are refused with a code', () => {
  for (const tokens of [[-1], [51200], [2 ** 31], [1.5], ['a'], null]) {
    assert.throws(() => phi2.detokenize(tokens as number[]), { code: 'PHI2_INVALID_OPTION' })
  }
  assert.throws(() => phi2.tokenText(1e9), { code: 'PHI2_INVALID_OPTION' })
})

test('wrong arguments are refused before anything runs', () => {
  const call = (body: () => unknown) => assert.throws(body, { code: 'PHI2_INVALID_OPTION' })
  call(() => phi2.ask(undefined as unknown as string))
  call(() => phi2.ask(''))
  call(() => phi2.ask(france, { maxTokens: -1 }))
  call(() => phi2.ask(france, { maxtokens: 5 } as object))
  call(() => phi2.ask(france, { temperature: Number.NaN }))
  call(() => phi2.ask(france, null as unknown as object))
  call(() => phi2.ask(france, { stop: [''] }))
  call(() => phi2.code({ signature: 'def f():', doc: 'x' } as unknown as { signature: string }))
})

test('a logitBias for an id that does not exist rejects with a code', async () => {
  assert.equal(
    ((await rejection(phi2.ask(france, { logitBias: { 99999: 1 } }))) as Phi2Error).code,
    'PHI2_INVALID_OPTION',
  )
})

test('closing while answers run settles every one of them, and closing again is the same', async () => {
  const doomed = await Phi2.load({ model: 'tiny' })
  const running = Array.from({ length: 12 }, () => doomed.complete('Once upon a time', runOn))
  for await (const _ of running[0]!) break
  const results = Promise.allSettled(running)
  await Promise.all([doomed.close(), doomed.close()])
  const codes = (await results).map((result) =>
    result.status === 'rejected' ? (result.reason as Phi2Error).code : 'fulfilled',
  )
  assert.deepEqual(
    codes.slice(1),
    Array.from({ length: 11 }, () => 'PHI2_CLOSED'),
  )
  assert.ok(['PHI2_ABORTED', 'PHI2_CLOSED'].includes(codes[0]!))
  await doomed.close()
  assert.equal(((await rejection(doomed.ask(france))) as Phi2Error).code, 'PHI2_CLOSED')
  await assert.rejects(doomed.tokenize('x'), { code: 'PHI2_CLOSED' })
  assert.throws(() => doomed.detokenize([1]), { code: 'PHI2_CLOSED' })
})

test('cost: an answer of 1500 tokens loses nothing on the way', async () => {
  const answer = await phi2.complete('Once upon a time', { maxTokens: 1500, logitBias: noEnd })
  assert.equal(answer.usage.completionTokens, 1500)
  assert.equal(phi2.detokenize(answer.tokens), answer.text)
})

// Each of the following brought a failure once.

test('closing while a log-probability answer is on its way settles every answer', async () => {
  for (let round = 0; round < 5; round++) {
    const doomed = await Phi2.load({ model: 'tiny' })
    const options = { ...runOn, topLogprobs: 5 }
    const running = Array.from({ length: 3 }, () => doomed.complete('Once upon a time', options))
    await sleep(30)
    const closing = doomed.close()
    const until = performance.now() + 100
    while (performance.now() < until);
    await closing
    for (const result of await Promise.allSettled(running)) assert.equal(result.status, 'rejected')
  }
})

test('several next() at once each get a chunk or the end', async () => {
  const iterator = phi2.ask(france)[Symbol.asyncIterator]()
  const results = await Promise.all(Array.from({ length: 60 }, () => iterator.next()))
  const text = results.flatMap(({ value }) => value ?? []).join('')
  assert.equal(text, 'The capital of France is Paris.')
  assert.equal(results.at(-1)!.done, true)
})

test('after a failure the iterator throws once and is then done', async () => {
  const iterator = phi2.ask(france, { signal: AbortSignal.abort(new Error('no')) })[Symbol.asyncIterator]()
  await assert.rejects(iterator.next(), /no/)
  assert.deepEqual(await iterator.next(), { done: true, value: undefined })
})

test('a banned token never comes, whatever the penalties do to the others', async () => {
  const bias = Object.fromEntries(Array.from({ length: 50295 }, (_, i) => [i, Number.NEGATIVE_INFINITY]))
  delete bias[5]
  for (const temperature of [0, 1]) {
    const answer = await phi2.complete('Hello', {
      logitBias: bias,
      dry: { base: 100, multiplier: 100, allowedLength: 0 },
      temperature,
      typicalP: 0.5,
      maxTokens: 12,
      seed: 1,
    })
    assert.deepEqual(new Set(answer.tokens), new Set([5]))
  }
})

test('the smallest temperature is as good as greedy', async () => {
  const greedy = await phi2.ask(france)
  for (const temperature of [1e-40, 1e-7])
    assert.equal((await phi2.ask(france, { temperature, seed: 3 })).text, greedy.text)
})

test('an abort does not wait for the prompt to be tokenized, and what cannot fit is not tokenized at all', async () => {
  const started = performance.now()
  const error = (await rejection(phi2.complete('<|endoftext|>'.repeat(100_000)))) as Phi2Error
  assert.equal(error.code, 'PHI2_CONTEXT_FULL')
  assert.match(error.message, /2048/)
  const generation = phi2.complete('<|endoftext|>'.repeat(15_000))
  const reason = new Error('enough')
  let settled = false
  const failure = rejection(generation).finally(() => {
    settled = true
  })
  generation.abort(reason)
  await new Promise((resolve) => setImmediate(resolve))
  assert.ok(settled)
  assert.equal(await failure, reason)
  assert.ok(performance.now() > started)
})

test('more answers than a batch has tokens all go on', async () => {
  await using crowded = await Phi2.load({ model: 'tiny', batchSize: 32, maxSequences: 64, contextSize: 8192 })
  const answers = Array.from({ length: 48 }, (_, i) =>
    crowded.complete(`Story ${i}:`, { maxTokens: 100, logitBias: noEnd, profile: 'none' }),
  )
  await Promise.race(answers)
  const lengths = answers.map(({ text }) => text.length)
  // When the first has ended none has been left without its share.
  for (const [i, length] of lengths.entries()) assert.ok(length > 50, `answer ${i} has ${length} characters`)
  await Promise.all(answers)
})

test('a cache larger than the memory is refused and not promised', async (t) => {
  const to = join(temporaryFolder(), 'wide.gguf')
  await synth({ to, layers: 2, type: 'q4_0' })
  const bytes = 2 * 2 * 2560 * 4 * (1 << 20)
  if (totalmem() > bytes) return t.skip('this machine has more memory than the test asks for')
  await assert.rejects(Phi2.load({ model: to, contextSize: 1 << 20, kvType: 'f32' }), {
    code: 'PHI2_CONTEXT_FAILED',
    message: /MB of memory/,
  })
})

test('after close every verb fails with the package’s own error', async () => {
  const closed = await Phi2.load({ model: 'tiny' })
  await closed.close()
  for (const verb of [() => closed.selfCheck(), () => closed.tokenize('x'), () => closed.ask('x')]) {
    const error = await rejection(verb())
    assert.ok(error instanceof Phi2Error)
    assert.equal(error.code, 'PHI2_CLOSED')
  }
})
