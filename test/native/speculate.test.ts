import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { quantize } from '../../gguf/index.js'
import { evaluate } from '../../src/evaluate.js'
import { tinyModelPath } from '../../src/models/resolve.js'
import { Phi2 } from '../../src/phi2.js'
import type { Answer, GenerateOptions } from '../../src/types.js'
import { loadTiny, temporaryFolder } from '../helpers/model.js'
import { writeSmallModel } from '../helpers/small-model.js'

// On CPUs the engine rounds steps of any size alike for this model, but for flash attention.
const exact = { flashAttention: false, tuned: false } as const

// Greedy, and reproducible: the cache is empty at the beginning, for where cells lie changes the rounding too; and how
// many tokens are guessed does not depend on measured times.
const greedy = { temperature: 1e-5, seed: 0 } as const

const folder = temporaryFolder()
const q4 = join(folder, 'tiny-q4_0.gguf')
await quantize({ from: tinyModelPath(), to: q4, type: 'q4_0', allowRequantize: true })

const phi2 = await loadTiny(exact)
const withItself = await loadTiny({ ...exact, draft: 'tiny' })
const withQ4 = await loadTiny({ ...exact, draft: q4 })

const noEnd = { 50256: Number.NEGATIVE_INFINITY }
const story = 'Once upon a time'
const addition = 'def add(a, b):\n    """Add two numbers."""\n    return a + b\n\n\n'

/** Each of them guesses in its own way; all must give the text of `plain`. */
const ways: { name: string; on: Phi2; options: GenerateOptions }[] = [
  { name: 'lookup', on: phi2, options: { speculate: 'lookup' } },
  { name: 'lookup, 7 tokens', on: phi2, options: { speculate: 'lookup', draftLength: 7 } },
  { name: 'the same model, 5 tokens', on: withItself, options: { speculate: 'draft', draftLength: 5 } },
  { name: 'another quantization, 4 tokens', on: withQ4, options: { speculate: 'draft', draftLength: 4 } },
]
const moreWays: typeof ways = [
  { name: 'lookup, 1 token', on: phi2, options: { speculate: 'lookup', draftLength: 1 } },
  { name: 'lookup, 63 tokens', on: phi2, options: { speculate: 'lookup', draftLength: 63 } },
  { name: 'the same model', on: withItself, options: { speculate: 'draft' } },
]

type Ask = (on: Phi2, options: GenerateOptions) => PromiseLike<Answer>

/** What must not depend on guesses. */
function essence({ usage, timings, logprobs, seed, ...answer }: Answer): object {
  const { promptTokens, completionTokens, totalTokens } = usage
  return { ...answer, promptTokens, completionTokens, totalTokens }
}

function guesses({ usage }: Answer): { right: number; all: number } {
  const right = usage.acceptedPredictionTokens
  return { right, all: right + usage.rejectedPredictionTokens }
}

async function sameInAllWays(ask: Ask, inWays = ways): Promise<Answer[]> {
  const plain = await ask(phi2, greedy)
  assert.deepEqual(guesses(plain), { right: 0, all: 0 })
  const answers: Answer[] = []
  for (const { name, on, options } of inWays) {
    const answer = await ask(on, { ...greedy, ...options })
    assert.deepEqual(essence(answer), essence(plain), name)
    answers.push(answer)
  }
  return answers
}

describe('greedy text is that of plain decoding', () => {
  const prompts: Record<string, Ask> = {
    'a text that repeats itself': (on, o) => on.complete(story, { maxTokens: 150, logitBias: noEnd, ...o }),
    'a text that does not': (on, o) => on.complete('one two three', { maxTokens: 60, logitBias: noEnd, ...o }),
    'an answer': (on, o) => on.ask('What is the capital of France?', o),
    'a prompt that repeats itself': (on, o) =>
      on.complete(addition.repeat(3), { maxTokens: 50, logitBias: noEnd, ...o }),
    'the end of the text': (on, o) => on.complete(`${story} ${story}`, o),
    'a function': (on, o) => on.code({ signature: 'def factorial(n):', docstring: 'Return the factorial of n' }, o),
    'a chat': (on, o) => on.chat().say('I have trouble sleeping. Any ideas?', o),
    'many dialogs in a row': (on, o) =>
      on.complete('Alice: Any ideas?\nBob:', { maxTokens: 120, logitBias: noEnd, ...o }),
  }
  for (const [name, ask] of Object.entries(prompts)) {
    test(name, async () => {
      await sameInAllWays(ask)
    })
  }

  test('with penalties, which change with every token', async () => {
    const options = { maxTokens: 80, logitBias: noEnd, repeatPenalty: 1.05, frequencyPenalty: 0.1, penaltyLastN: 30 }
    await sameInAllWays((on, o) => on.complete(addition.repeat(2), { ...options, ...o }))
    await sameInAllWays((on, o) => on.complete(story, { maxTokens: 80, logitBias: noEnd, dry: {}, ...o }))
  })

  test('a prompt of one token', async () => {
    await sameInAllWays((on, o) => on.complete('The', { maxTokens: 40, logitBias: noEnd, ...o }))
  })

  test('up to the last position of a sequence', async () => {
    await using small = await Phi2.load({ model: 'tiny', contextSize: 32, ...exact })
    const options = { maxTokens: 500, logitBias: noEnd, ...greedy } as const
    const prompt = addition.repeat(11)
    const plain = await small.complete(prompt, options)
    assert.equal(plain.finishReason, 'length')
    assert.equal(plain.usage.totalTokens, small.info.sequenceSize + 1)
    for (const draftLength of [1, 8, 63]) {
      const answer = await small.complete(prompt, { ...options, speculate: 'lookup', draftLength })
      assert.deepEqual(essence(answer), essence(plain))
    }
  })
})

test('guesses are made, and right ones are counted', async () => {
  const tell: Ask = (on, o) => on.complete(story, { maxTokens: 150, logitBias: noEnd, ...o })
  const [lookup, seven, itself, other, one, most, chosen] = await sameInAllWays(tell, [...ways, ...moreWays])
  assert.ok(guesses(lookup!).right > 40, `${guesses(lookup!).right} by lookup`)
  assert.ok(guesses(seven!).right > 40 && guesses(seven!).all > guesses(seven!).right)
  assert.ok(guesses(itself!).right > 110)
  assert.ok(guesses(itself!).all - guesses(itself!).right < 5) // it would have liked to end
  assert.ok(guesses(other!).right / guesses(other!).all > 0.5)
  assert.ok(guesses(one!).right > 30)
  assert.ok(guesses(most!).right > guesses(one!).right)
  // A model of the same size never pays.
  assert.ok(guesses(chosen!).all < 40)
})

describe('a run of right guesses ends where plain decoding ends', () => {
  test('at maxTokens', async () => {
    for (const maxTokens of [1, 2, 3, 5, 8, 13, 21]) {
      await sameInAllWays((on, o) =>
        on.complete(`${addition}${addition}def add`, { maxTokens, logitBias: noEnd, ...o }),
      )
    }
  })

  test('at a stop text, wherever it lies in the run', async () => {
    const { text } = await phi2.complete(story, { maxTokens: 150, logitBias: noEnd, ...greedy })
    for (let from = 20; from < text.length - 8; from += 151) {
      const stop = text.slice(from, from + 7)
      const answers = await sameInAllWays((on, o) =>
        on.complete(story, { maxTokens: 150, logitBias: noEnd, stop, ...o }),
      )
      for (const answer of answers) assert.equal(answer.text, text.slice(0, text.indexOf(stop)))
    }
  })

  test('nothing past a stop is emitted while it is iterated', async () => {
    const { text } = await phi2.complete(story, { maxTokens: 150, logitBias: noEnd, ...greedy })
    const stop = text.slice(-50, -42)
    const options = { maxTokens: 150, logitBias: noEnd, stop, speculate: 'lookup', draftLength: 16 } as const
    let joined = ''
    for await (const chunk of phi2.complete(story, { ...options, ...greedy })) joined += chunk
    assert.equal(joined, text.slice(0, text.indexOf(stop)))
  })
})

test('log-probabilities are those of plain decoding', async () => {
  const options = { maxTokens: 100, logitBias: noEnd, topLogprobs: 3, ...greedy } as const
  const plain = await phi2.complete(story, options)
  for (const { name, on, options: way } of ways) {
    const answer = await on.complete(story, { ...options, ...way })
    assert.deepEqual(answer.tokens, plain.tokens, name)
    assert.equal(answer.logprobs!.length, plain.logprobs!.length, name)
    for (const [i, entry] of answer.logprobs!.entries()) {
      const expected = plain.logprobs![i]!
      assert.equal(entry.token, expected.token, name)
      assert.ok(Math.abs(entry.logprob - expected.logprob) < 0.05, name)
      assert.equal(entry.top.length, 3)
      assert.ok(Math.abs(entry.top[2]!.logprob - expected.top[2]!.logprob) < 0.05, name)
    }
  }
})

describe('beside other answers', () => {
  test('each has the text that it has alone', async () => {
    const options = { maxTokens: 40, logitBias: noEnd }
    const questions = [story, 'The sea', addition, `${addition}def add`]
    for (const on of [phi2, withItself]) {
      const alone: string[] = []
      for (const question of questions)
        alone.push((await on.complete(question, { ...options, speculate: 'none' })).text)
      const speculate = on === phi2 ? 'lookup' : 'draft'
      for (const draftLength of [undefined, 6]) {
        const together = await Promise.all(
          questions.map((question, i) =>
            on.complete(question, i === 1 ? { ...options, speculate: 'none' } : withLength(speculate, draftLength)),
          ),
        )
        assert.deepEqual(
          together.map(({ text }) => text),
          alone,
        )
      }
    }
    function withLength(speculate: 'lookup' | 'draft', draftLength: number | undefined): GenerateOptions {
      return { ...options, speculate, ...(draftLength && { draftLength }) }
    }
  })

  test('more drafts than a step has rows for are cut, not refused', async () => {
    const plain = await phi2.complete(addition, { maxTokens: 40, logitBias: noEnd })
    const options = { maxTokens: 40, logitBias: noEnd, speculate: 'lookup', draftLength: 63 } as const
    const answers = await Promise.all(Array.from({ length: 8 }, () => phi2.complete(addition, options)))
    for (const answer of answers) assert.equal(answer.text, plain.text)
  })
})

describe('sampled text', () => {
  const sampled = { temperature: 0.9, topP: 1, topK: 0, minP: 0, maxTokens: 40, logitBias: noEnd } as const

  test('is that of plain decoding with the same seed', async () => {
    for (let seed = 0; seed < 4; seed++) {
      await sameInAllWays((on, o) => on.complete(`${addition}${addition}`, { ...o, ...sampled, seed }))
    }
    await sameInAllWays((on, o) => on.complete(story, { ...o, ...sampled, seed: 7, mirostat: {} }))
  })

  test('comes as often as the model says, guessed or not', async () => {
    const [a, b] = [await only(' a'), await only(' b')]
    const prompt = ' a b'.repeat(12)
    const temperature = 4
    const tokens = await phi2.tokenize(prompt)
    /** log of p(b) / p(a) after the prompt and some more */
    const odds = async (...more: number[]) => {
      const { engine, dispatcher } = phi2.internals
      const all = Int32Array.from([...tokens, ...more])
      const { logits } = await evaluate(engine, dispatcher, all, { logitPositions: [all.length - 1] })
      return (logits[b]! - logits[a]!) / temperature
    }
    // Nothing else is possible, and at first both are as likely.
    const bias = { [a]: 900, [b]: 900 - temperature * (await odds()) }
    const expected = new Map<number, number>()
    for (const first of [a, b]) expected.set(first, 1 / (1 + Math.exp((await odds()) - (await odds(first)))))

    const counts = new Map([a, b].map((first) => [first, { all: 0, b: 0 }]))
    let right = 0
    let wrong = 0
    for (let seed = 0; seed < 250; seed++) {
      const answer = await phi2.complete(prompt, {
        ...{ ...sampled, temperature, maxTokens: 3, seed, logitBias: bias },
        ...{ speculate: 'lookup', draftLength: 2 },
      })
      right += answer.usage.acceptedPredictionTokens
      wrong += answer.usage.rejectedPredictionTokens
      const count = counts.get(answer.tokens[0]!)!
      count.all += 1
      count.b += answer.tokens[1] === b ? 1 : 0
    }
    assert.ok(right > 50 && wrong > 50, `${right} guesses were right and ${wrong} wrong`)
    for (const first of [a, b]) {
      const p = expected.get(first)!
      const { all, b: found } = counts.get(first)!
      assert.ok(all > 80 && p > 0.02 && p < 0.98, `${all} begin with ${first}, p is ${p}`)
      const deviation = Math.sqrt(p * (1 - p) * all)
      assert.ok(Math.abs(found - p * all) < 4 * deviation, `${found} of ${all}, expected ${p * all} ± ${deviation}`)
    }
  })

  async function only(text: string): Promise<number> {
    const tokens = await phi2.tokenize(text)
    assert.equal(tokens.length, 1)
    return tokens[0]!
  }
})

test('the figures of several answers to one prompt are added up', async () => {
  const options = { n: 3, temperature: 0.8, maxTokens: 30, logitBias: noEnd } as const
  const answer = await phi2.complete(addition.repeat(2), { ...options, speculate: 'lookup', draftLength: 3 })
  const sum = (of: (usage: Answer['usage']) => number) =>
    answer.choices!.reduce((total, { usage }) => total + of(usage), 0)
  assert.ok(guesses(answer).all > 20)
  assert.equal(
    guesses(answer).right,
    sum((usage) => usage.acceptedPredictionTokens),
  )
  assert.equal(
    guesses(answer).all - guesses(answer).right,
    sum((usage) => usage.rejectedPredictionTokens),
  )
})

test('what was guessed wrongly does not stay in the cache', async () => {
  await using fresh = await Phi2.load({ model: 'tiny', ...exact })
  const options = { maxTokens: 40, logitBias: noEnd, speculate: 'lookup', draftLength: 12 } as const
  const first = await fresh.complete(`${addition}def`, options)
  assert.ok(guesses(first).all > guesses(first).right)
  const longer = `${addition}def${first.text}\n`
  const again = await fresh.complete(longer, { maxTokens: 40, logitBias: noEnd })
  const known = first.usage.promptTokens + first.tokens.length
  assert.ok(again.usage.cachedTokens >= known - 3, `${again.usage.cachedTokens} of ${known}`)
  const expected = await phi2.complete(longer, { maxTokens: 40, logitBias: noEnd })
  assert.equal(again.text, expected.text)
})

describe('an answer that guesses', () => {
  const endless = { maxTokens: 1500, logitBias: noEnd, draftLength: 16 } as const

  for (const [name, on, speculate] of [
    ['by lookup', phi2, 'lookup'],
    ['with a draft model', withItself, 'draft'],
  ] as const) {
    test(`${name} can be aborted, and the model goes on`, async () => {
      const generation = on.complete(story, { ...endless, speculate })
      for await (const chunk of generation) if (chunk !== '') break
      await assert.rejects(Promise.resolve(generation), { code: 'PHI2_ABORTED' })
      const { text } = await on.ask('What is the capital of France?')
      assert.equal(text, 'The capital of France is Paris.')
    })

    test(`${name} can be aborted while its prompt is read`, async () => {
      const generation = on.complete(addition.repeat(40), { ...endless, speculate })
      setTimeout(() => generation.abort(), 5)
      await assert.rejects(Promise.resolve(generation), { code: 'PHI2_ABORTED' })
      assert.equal((await on.ask('What is the capital of France?')).finishReason, 'stop')
    })

    test(`${name} ends when the model is closed`, async () => {
      const closing = await Phi2.load({ model: 'tiny', ...(speculate === 'draft' && { draft: 'tiny' }) })
      const generation = closing.complete(story, { ...endless, speculate })
      const rejected = assert.rejects(Promise.resolve(generation), { code: 'PHI2_CLOSED' })
      for await (const chunk of generation) {
        if (chunk === '') continue
        await closing.close()
        break
      }
      await rejected
    })
  }
})

describe('a draft model', () => {
  test('guesses by default, and info names it', async () => {
    assert.equal(withQ4.info.draft, q4)
    assert.equal(phi2.info.draft, undefined)
    const answer = await withItself.complete(story, { maxTokens: 30, draftLength: 3 })
    assert.ok(guesses(answer).right > 15)
    const none = await withItself.complete(story, { maxTokens: 30, speculate: 'none' })
    assert.deepEqual(guesses(none), { right: 0, all: 0 })
    assert.equal(none.text, answer.text)
  })

  test('catches up with a conversation that it did not hear', async () => {
    const chat = withItself.chat()
    await chat.say('Hello Bob, how are you today?', { temperature: 0, speculate: 'none' })
    const second = await chat.say('What is your favorite color?', { temperature: 0, draftLength: 4 })
    assert.ok(guesses(second).right > 0.7 * guesses(second).all, JSON.stringify(guesses(second)))
  })

  test('whose cache is full guesses less, and the answers are the same', async () => {
    // All answers share one prompt in the model's cache; in the draft model's each may hold its own.
    await using small = await Phi2.load({ model: 'tiny', draft: 'tiny', contextSize: 256, maxSequences: 6, ...exact })
    const prompt = addition.repeat(4)
    const options = { maxTokens: 20, logitBias: noEnd, draftLength: 4 }
    const expected = await phi2.complete(prompt, { maxTokens: 20, logitBias: noEnd })
    for (let round = 0; round < 3; round++) {
      const answers = await Promise.all(Array.from({ length: 6 }, () => small.complete(prompt, options)))
      for (const { text } of answers) assert.equal(text, expected.text)
      const other = await small.complete(`${round} apples and ${prompt}`, options)
      assert.equal(other.finishReason, 'length')
    }
  })

  test('of another vocabulary is refused', async () => {
    const small = join(folder, 'small.gguf')
    await writeSmallModel(small, { width: 64 })
    const mismatch = { name: 'Phi2Error', code: 'PHI2_VOCABULARY_MISMATCH' }
    await assert.rejects(Phi2.load({ model: 'tiny', draft: small }), mismatch)
    await assert.rejects(Phi2.load({ model: small, draft: 'tiny' }), mismatch)

    const other = join(folder, 'one-token.gguf')
    const bytes = readFileSync(tinyModelPath())
    bytes.write('Ġoxx', bytes.indexOf('Ġthe')) // the first that has this beginning, not a merge
    writeFileSync(other, bytes)
    await assert.rejects(Phi2.load({ model: 'tiny', draft: other }), { ...mismatch, message: /token \d+ is another/ })
  })

  test('is found, downloaded and checked like the model itself', async () => {
    await assert.rejects(Phi2.load({ model: 'tiny', draft: join(folder, 'none.gguf') }), {
      code: 'PHI2_MODEL_NOT_FOUND',
    })
    const damaged = join(folder, 'damaged.gguf')
    writeFileSync(damaged, readFileSync(tinyModelPath()).subarray(0, 1000))
    await assert.rejects(Phi2.load({ model: 'tiny', draft: damaged }), { code: 'PHI2_INVALID_GGUF' })
  })

  test('progress covers both models and comes to 1', async () => {
    const seen: number[] = []
    await using both = await Phi2.load({ model: 'tiny', draft: 'tiny', onProgress: (fraction) => seen.push(fraction) })
    assert.equal(both.info.draft, tinyModelPath())
    assert.deepEqual(
      seen,
      [...seen].sort((x, y) => x - y),
    )
    assert.ok(Math.abs(seen.at(-1)! - 1) < 1e-6)
  })
})

test('guessing needs somebody who guesses', async () => {
  await assert.rejects(Promise.resolve(phi2.ask('Why?', { speculate: 'draft' })), { code: 'PHI2_INVALID_OPTION' })
  await assert.rejects(Promise.resolve(phi2.ask('Why?', { draftLength: 4 })), { code: 'PHI2_INVALID_OPTION' })
  assert.throws(() => phi2.ask('Why?', { speculate: 'always' as 'lookup' }), { code: 'PHI2_INVALID_OPTION' })
  assert.throws(() => phi2.ask('Why?', { speculate: 'lookup', draftLength: 64 }), { code: 'PHI2_INVALID_OPTION' })
})
