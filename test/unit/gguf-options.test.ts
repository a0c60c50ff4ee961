import assert from 'node:assert/strict'
import { test } from 'node:test'
import { convert, inspect, pull, quantize, synth, synthCheckpoint } from '../../gguf/index.js'

const functions = { convert, inspect, pull, quantize, synth, synthCheckpoint } as unknown as Record<
  string,
  (options: unknown) => Promise<unknown>
>

for (const [name, call] of Object.entries(functions)) {
  test(`${name} refuses unknown options, and what are none, before it does anything`, async () => {
    const wrong = { name: 'TypeError', code: 'PHI2_INVALID_OPTION' }
    await assert.rejects(call({ outType: 'f16' }), { ...wrong, message: /^Unknown option outType\. Known are: / })
    await assert.rejects(call({ constructor: 1 }), { ...wrong, message: /^Unknown option constructor/ })
    await assert.rejects(call(null), wrong)
    await assert.rejects(call('q4_k_m'), wrong)
    await assert.rejects(call({ signal: 5 }), { ...wrong, message: /AbortSignal/ })
  })
}
