import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { evaluate } from '../../src/evaluate.js'
import { packageRoot } from '../../src/package-root.js'
import type { Phi2 } from '../../src/phi2.js'

// Computed in float32 by an independent implementation: gguf/tiny/train/reference.py.
export interface ReferencePrompt {
  name: string
  prompt: string
  ids: number[]
  last: { position: number; argmax: number; top10: [number, number][] }
  positions: { position: number; argmax: number; top10: [number, number][] }[]
  prompt_logprob_sum: number
  greedy: { ids: number[]; text: string; ended_by_endoftext: boolean }
}
export const reference = JSON.parse(
  readFileSync(join(packageRoot(), 'test', 'fixtures', 'reference.json'), 'utf8'),
) as {
  prompts: ReferencePrompt[]
}
const endOfTextId = 50256

/** The logits that the reference has values for, of one prompt. */
export async function rowsAt(
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

/** On how many positions of prompts and greedy continuations the model's likeliest token is the reference's. */
export async function agreement(phi2: Phi2): Promise<{ agreed: number; total: number }> {
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
  return { agreed, total }
}

/** Each of the reference's ten likeliest logits differs by less than `tolerance`. */
export async function assertLogits(phi2: Phi2, tolerance: number): Promise<void> {
  for (const prompt of reference.prompts) {
    for (const { expected, row } of await rowsAt(phi2, prompt)) {
      for (const [token, logit] of expected.top10) {
        assert.ok(
          Math.abs(row[token]! - logit) < tolerance,
          `${prompt.name}, position ${expected.position}, token ${token}: ${row[token]} instead of ${logit}`,
        )
      }
    }
  }
}

/** Greedy continuations are the reference's, token for token, and end as those do. */
export async function assertGreedy(phi2: Phi2): Promise<void> {
  for (const { name, prompt, greedy } of reference.prompts) {
    const answer = await phi2.complete(prompt, { maxTokens: greedy.ids.length })
    const wanted = greedy.ended_by_endoftext ? greedy.ids.slice(0, -1) : greedy.ids
    assert.deepEqual(answer.tokens, wanted, name)
    assert.equal(answer.finishReason, greedy.ended_by_endoftext ? 'stop' : 'length')
    assert.equal(answer.stop, greedy.ended_by_endoftext ? '<|endoftext|>' : undefined)
    assert.equal(answer.usage.completionTokens, greedy.ids.length)
    if (greedy.ended_by_endoftext) assert.equal(greedy.ids.at(-1), endOfTextId)
  }
}
