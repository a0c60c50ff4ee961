import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadTiny } from '../helpers/model.js'
import { agreement, reference } from '../helpers/reference.js'

test('token ids are those of the reference for every prompt, and come back as the same text', async () => {
  const phi2 = await loadTiny()
  for (const { prompt, ids } of reference.prompts) {
    assert.deepEqual(await phi2.tokenize(prompt), ids)
    assert.equal(phi2.detokenize(ids), prompt)
  }
})

test('the embedded Q8_0 model agrees with the float32 reference on at least 95 % of the likeliest tokens', async () => {
  const { agreed, total } = await agreement(await loadTiny())
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
