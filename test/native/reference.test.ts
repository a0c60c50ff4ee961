import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { convert } from '../../gguf/index.js'
import { evaluate } from '../../src/evaluate.js'
import { packageRoot } from '../../src/package-root.js'
import { Phi2 } from '../../src/phi2.js'
import { loadTiny, temporaryFolder, tinyCheckpoint } from '../helpers/model.js'

// Computed in float32 by an independent implementation: gguf/tiny/train/reference.py.
interface ReferencePrompt {
  name: string
  prompt: string
  ids: number[]
  last: { position: number; argmax: number; top10: [number, number][] }
  positions: { position: number; argmax: number; top10: [number, number][] }[]
  prompt_logprob_sum: number
  greedy: { ids: number[]; text: string; ended_by_endoftext: boolean }
}
const reference = JSON.parse(readFileSync(join(packageRoot(), 'test', 'fixtures', 'reference.json'), 'utf8')) as {
  prompts: ReferencePrompt[]
}
const endOfTextId = 50256

async function rowsAt(
  phi2: Phi2,
  prompt: ReferencePrompt,
): Promise<{ expected: ReferencePrompt['last']; row: Float32Array }[]> {
  const expected = [...prompt.positions, prompt.last].sort((a, b) => a.position - b.position)
  const { engine, dispatcher } = phi2.internals
  const { logits } = await evaluate(engine, dispatcher, Int32Array.from(prompt.ids), {
    logitPositions: expected.map(({ position }) => position),
  })
  const width = phi2.info.vocabularySize
  assert.equal(logits.length, expected.length * width)
  return expected.map((entry, i) => ({ expected: entry, row: logits.subarray(i * width, (i + 1) * width) }))
}

function argmax(row: Float32Array): number {
  return row.reduce((best, value, i) => (value > row[best]! ? i : best), 0)
}

test('token ids are those of the reference for every prompt, and come back as the same text', async () => {
  const phi2 = await loadTiny()
  for (const { prompt, ids } of reference.prompts) {
    assert.deepEqual(await phi2.tokenize(prompt), ids)
    assert.equal(phi2.detokenize(ids), prompt)
  }
})

test('the embedded Q8_0 model agrees with the float32 reference on at least 95 % of the likeliest tokens', async () => {
  const phi2 = await loadTiny()
  let agreed = 0
  let total = 0
  for (const prompt of reference.prompts) {
    // Every position of prompt and greedy continuation: the continuation's tokens are the reference's own argmax.
    const continuation = prompt.greedy.ids
    const tokens = [...prompt.ids, ...continuation.slice(0, -1)]
    const { engine, dispatcher } = phi2.internals
    const positions = continuation.map((_, i) => prompt.ids.length - 1 + i)
    const { logits } = await evaluate(engine, dispatcher, Int32Array.from(tokens), { logitPositions: positions })
    const width = phi2.info.vocabularySize
    continuation.forEach((token, i) => {
      agreed += argmax(logits.subarray(i * width, (i + 1) * width)) === token ? 1 : 0
      total++
    })
    for (const { expected, row } of await rowsAt(phi2, prompt)) {
      agreed += argmax(row) === expected.argmax ? 1 : 0
      total++
    }
  }
  assert.ok(total > 300, `only ${total} positions were compared`)
  assert.ok(agreed / total >= 0.95, `${agreed} of ${total} agree`)
})

test('the self-check of the embedded model passes, and its values are the reference’s', async () => {
  const phi2 = await loadTiny()
  const check = await phi2.selfCheck()
  assert.equal(check.ok, true)
  assert.equal(check.reference, true)
  assert.equal(check.prompts.length, reference.prompts.length)
  for (const { name, prompt_logprob_sum, ids } of reference.prompts) {
    const row = check.prompts.find((entry) => entry.name === name)
    assert.ok(row)
    assert.ok(Math.abs(row.expected - prompt_logprob_sum / (ids.length - 1)) < 1e-9)
    assert.ok(Math.abs(row.found - row.expected) < check.tolerance)
  }
})

const checkpoint = tinyCheckpoint()

for (const [outtype, tolerance] of [
  ['f16', 0.05],
  ['f32', 0.05],
] as const) {
  test(`the ${outtype} conversion gives the reference's greedy continuations, and logits within ${tolerance}`, {
    skip: 'skip' in checkpoint && checkpoint.skip,
  }, async () => {
    assert.ok('folder' in checkpoint)
    const to = join(temporaryFolder(), `tiny-${outtype}.gguf`)
    await convert({ from: checkpoint.folder, to, outtype })
    await using phi2 = await Phi2.load({ model: to, flashAttention: false, kvType: 'f32' })
    for (const prompt of reference.prompts) {
      for (const { expected, row } of await rowsAt(phi2, prompt)) {
        for (const [token, logit] of expected.top10) {
          const difference = Math.abs(row[token]! - logit)
          assert.ok(
            difference < tolerance,
            `${prompt.name}, position ${expected.position}, token ${token}: ${row[token]} instead of ${logit}`,
          )
        }
      }
      const { greedy } = prompt
      const answer = await phi2.complete(prompt.prompt, { maxTokens: greedy.ids.length })
      const wanted = greedy.ended_by_endoftext ? greedy.ids.slice(0, -1) : greedy.ids
      assert.deepEqual(answer.tokens, wanted, prompt.name)
      assert.equal(answer.finishReason, greedy.ended_by_endoftext ? 'stop' : 'length')
      assert.equal(answer.stop, greedy.ended_by_endoftext ? '<|endoftext|>' : undefined)
      assert.equal(answer.usage.completionTokens, greedy.ids.length)
      if (greedy.ended_by_endoftext) assert.equal(greedy.ids.at(-1), endOfTextId)
    }
  })
}
