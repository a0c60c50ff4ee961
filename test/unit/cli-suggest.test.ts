import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { editDistance, mistypedCommand, nearestOption } from '../../src/cli/suggest.js'

const commands = ['ask', 'chat', 'code', 'complete', 'tokens', 'info', 'doctor']
const options = ['max-tokens', 'temperature', 'top-k', 'top-p', 'top-logprobs', 'stop', 'json', 'model']

test('each kind of typing mistake counts one', () => {
  assert.equal(editDistance('chat', 'chat'), 0)
  assert.equal(editDistance('chat', 'chatt'), 1)
  assert.equal(editDistance('chat', 'cat'), 1)
  assert.equal(editDistance('chat', 'chot'), 1)
  assert.equal(editDistance('chat', 'caht'), 1)
  assert.equal(editDistance('kitten', 'sitting'), 3)
  assert.equal(editDistance('', 'abc'), 3)
})

test('the distance is symmetric, zero only for equal words, and never more than the longer word', () => {
  const word = fc.string({ maxLength: 8 })
  fc.assert(
    fc.property(word, word, (a, b) => {
      const distance = editDistance(a, b)
      assert.equal(distance, editDistance(b, a))
      assert.equal(distance === 0, a === b)
      assert.ok(distance <= Math.max(a.length, b.length))
      assert.ok(distance >= Math.abs(a.length - b.length))
    }),
  )
})

test('an option is found by one or two mistakes, by its beginning, and not by chance', () => {
  assert.equal(nearestOption('max-token', options), 'max-tokens')
  assert.equal(nearestOption('maxtokens', options), 'max-tokens')
  assert.equal(nearestOption('temp', options), 'temperature')
  assert.equal(nearestOption('jsno', options), 'json')
  assert.equal(nearestOption('top-m', options), 'top-k')
  assert.equal(nearestOption('verbose', options), undefined)
  assert.equal(nearestOption('x', options), undefined)
})

test('a mistyped command is noticed', () => {
  for (const [typed, meant] of [
    ['chta', 'chat'],
    ['cht', 'chat'],
    ['aks', 'ask'],
    ['tokns', 'tokens'],
    ['docter', 'doctor'],
    ['compelte', 'complete'],
    ['inof', 'info'],
  ]) {
    assert.equal(mistypedCommand([typed!], commands), meant)
  }
  assert.equal(mistypedCommand(['tokns', 'some text'], commands), 'tokens')
  assert.equal(mistypedCommand(['chta', 'x'], commands), 'chat')
})

test('a question is not taken for a mistyped command', () => {
  for (const question of [
    'what is the capital of France?',
    'Ask yourself',
    'as a doctor explain this',
    'come up with a name',
    'hello',
    'why',
    'cat sounds in other languages',
    'tell me a joke',
  ]) {
    assert.equal(mistypedCommand(question.split(' '), commands), undefined, question)
    assert.equal(mistypedCommand([question], commands), undefined, question)
  }
})
