import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CHAIN_LENGTH, chain, previousToken } from '../../bench/speculate/chain.js'
import { TASKS } from '../../bench/speculate/tasks.js'
import { randomSource } from '../../gguf/random-weights.js'

test('the chain visits every token but the end of texts once, and each knows the one before it', () => {
  const tokens = chain(0, CHAIN_LENGTH)
  assert.equal(new Set(tokens).size, CHAIN_LENGTH)
  assert.ok(!tokens.includes(50256))
  assert.deepEqual([...chain(CHAIN_LENGTH - 1, 3)], [tokens.at(-1), tokens[0], tokens[1]])
  for (const place of [0, 1, 20000, CHAIN_LENGTH - 1]) {
    assert.equal(previousToken(chain(place + 1, 1)[0]!), tokens[place])
  }
  assert.equal(previousToken(50256), undefined)
})

test('the prompts of the tasks hold as much of the text as they say', () => {
  const text = chain(1000, 2000)
  const share = (name: string) => {
    const task = TASKS.find((candidate) => candidate.name === name)!
    const prompt = task.prompt(text, randomSource(1))
    return prompt.filter((token, i) => token === text[i]).length / text.length
  }
  assert.ok(Math.abs(share('edit') - 0.9) < 0.03)
  assert.ok(Math.abs(share('scattered') - 0.9) < 0.03)
  assert.ok(Math.abs(share('third') - 2 / 3) < 0.001)
  assert.equal(share('copy'), 1)
  assert.ok(share('new') < 0.01)

  const pairs = TASKS.find(({ name }) => name === 'pairs')!.prompt(text, randomSource(1))
  for (let i = 0; i < 600; i++) {
    assert.deepEqual(pairs.slice(3 * i, 3 * i + 2), [text[i], text[i + 1]])
    assert.notEqual(pairs[3 * i + 2], text[i + 2])
  }
})
