import assert from 'node:assert/strict'
import { test } from 'node:test'
import { waitFor } from '../../src/native-task.js'

const never = new Promise<never>(() => {})

test('an abort ends the waiting at once, with its reason, also one that came before', async () => {
  for (const when of ['before', 'after']) {
    const aborter = new AbortController()
    const reason = new Error(when)
    if (when === 'before') aborter.abort(reason)
    const waiting = waitFor(never, aborter.signal)
    aborter.abort(reason)
    await assert.rejects(waiting, reason)
  }
})

test('without an abort the outcome is that of the work', async () => {
  const { signal } = new AbortController()
  const failure = new Error('broken')
  for (const given of [signal, undefined]) {
    assert.equal(await waitFor(Promise.resolve(1), given), 1)
    await assert.rejects(waitFor(Promise.reject(failure), given), failure)
  }
})
