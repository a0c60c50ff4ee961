import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadTiny } from '../helpers/model.js'

// The embedded model is a base model like Phi-2 itself: left alone it runs on past its first answer.
const phi2 = await loadTiny()
const raw = { profile: 'none', maxTokens: 160 } as const

test('ask: the raw model goes on with another exercise, the trimmed answer ends before it', async () => {
  for (const question of [
    'What is the capital of France?',
    'Why is the sky blue?',
    'What is 7 * 8?',
    'Name three planets.',
  ]) {
    const untrimmed = await phi2.ask(question, raw)
    const trimmed = await phi2.ask(question)
    assert.match(untrimmed.text, /\n(Instruct|Question|Exercise|Output)/)
    assert.equal(trimmed.finishReason, 'stop')
    assert.ok(trimmed.text.length < untrimmed.text.length)
    assert.ok(untrimmed.text.trimStart().startsWith(trimmed.text))
    assert.doesNotMatch(trimmed.text, /Instruct:|Output:|Exercise|Question:/)
    assert.equal(trimmed.text, trimmed.text.trim())
  }
})

test('chat: the raw model speaks for both, the trimmed answer is one turn', async () => {
  const message = "I don't know why, I'm struggling to maintain focus while studying. Any suggestions?"
  const untrimmed = await phi2.chat().say(message, { ...raw, temperature: 0 })
  const trimmed = await phi2.chat().say(message, { temperature: 0 })
  assert.match(untrimmed.text, /\nAlice:/)
  assert.equal(trimmed.stop, 'Alice:')
  assert.ok(untrimmed.text.trimStart().startsWith(trimmed.text))
  assert.doesNotMatch(trimmed.text, /Alice:|Bob:/)
})

test('code: the raw model writes more functions, the trimmed answer is one body', async () => {
  const request = { signature: 'def print_prime(n):', docstring: 'Print all primes between 1 and n' }
  const untrimmed = await phi2.code(request, raw)
  const trimmed = await phi2.code(request)
  assert.match(untrimmed.text, /\n(def|class|print|Instruct|Exercise|Question|")/)
  assert.equal(trimmed.stop, 'dedent')
  assert.ok(untrimmed.text.includes(trimmed.text))
  for (const line of trimmed.text.split('\n')) assert.match(line, /^(\s+\S.*)?$/)
  assert.equal(
    trimmed.source,
    `def print_prime(n):\n   """\n   Print all primes between 1 and n\n   """\n${trimmed.text}`,
  )
})

test('complete leaves the text as the model wrote it', async () => {
  const answer = await phi2.complete('Instruct: What is the capital of France?\nOutput:', { maxTokens: 40 })
  assert.ok(answer.text.startsWith(' The capital of France is Paris.\n\n'))
  assert.equal(answer.stop, undefined)
})

test('complete takes a profile when asked to', async () => {
  const answer = await phi2.complete('Instruct: What is the capital of France?\nOutput:', { profile: 'qa' })
  assert.equal(answer.text, 'The capital of France is Paris.')
})

test('rules of the caller’s own replace the profile', async () => {
  const profile = { rules: [{ text: 'Output:', at: 'line-start' }], trim: 'none' } as const
  const answer = await phi2.ask('What is the capital of France?', { profile })
  assert.match(answer.text, /^ The capital of France is Paris\.\n\nInstruct: .*\n$/)
  assert.equal(answer.stop, 'Output:')
})

test('the end-of-text token ends an answer under every profile, and is named', async () => {
  const answer = await phi2.complete('Once upon a time', { maxTokens: 500 })
  assert.equal(answer.stop, '<|endoftext|>')
  assert.doesNotMatch(answer.text, /endoftext/)
})
