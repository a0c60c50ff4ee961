import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { alternate } from '../../bench/cases/case.js'
import { CASES } from '../../bench/cases/index.js'
import { stopsIn } from '../../bench/cases/stop.js'
import { WORDS, wordsText } from '../../bench/contenders/words.js'
import { parseBenchOptions, UsageError } from '../../bench/options.js'
import { peerVersion } from '../../bench/peer.js'
import { TARGETS } from '../../bench/report/targets.js'
import { packageRoot } from '../../src/package-root.js'

test('the contenders take turns, every round with another of them first', async () => {
  const order: string[] = []
  const turn = (name: string) => async () => order.push(name)
  const values = await alternate({ progress: () => {} }, 3, '', {
    phi2: turn('a'),
    'llama.cpp': turn('b'),
    'node-llama-cpp': turn('c'),
  })
  assert.equal(order.join(''), 'abcbcacab')
  assert.deepEqual(values, { phi2: [1, 6, 8], 'llama.cpp': [2, 4, 9], 'node-llama-cpp': [3, 5, 7] })
})

test('the command line chooses cases, rounds and the model', () => {
  const parse = (...args: string[]) => parseBenchOptions(args, ['prefill', 'decode'])
  assert.deepEqual(parse(), { quick: false, cases: [], rounds: undefined, models: ['q4_k_m', 'q4_0'], update: false })
  assert.deepEqual(parse('--quick', '--cases', 'decode,prefill', '--rounds', '7', '--model', 'q4_0'), {
    quick: true,
    cases: ['decode', 'prefill'],
    rounds: 7,
    models: ['q4_0'],
    update: false,
  })
  assert.equal(parse('--update', '--cases', 'decode').update, true)
})

test('a wrong command line says what was expected', () => {
  const refused = (message: RegExp, ...args: string[]) =>
    assert.throws(
      () => parseBenchOptions(args, ['prefill', 'decode']),
      (error) => error instanceof UsageError && message.test(error.message),
    )
  refused(/no case x. Known are: prefill, decode/, '--cases', 'decode,x')
  refused(/--rounds but received 0/, '--rounds', '0')
  refused(/--rounds but received many/, '--rounds', 'many')
  refused(/q4_k_m or q4_0 for --model but received f16/, '--model', 'f16')
  refused(/--fast/, '--fast')
  refused(/--update does not go with --quick/, '--update', '--cases', 'decode', '--quick')
  refused(/more/, 'more')
})

test('texts have as many words as tokens were asked for, and begin differently', () => {
  for (const tokens of [1, 32, 512]) assert.equal(wordsText(tokens, 3).split(' ').length - 1, tokens)
  const texts = Array.from(WORDS, (_, number) => wordsText(16, number))
  assert.equal(new Set(texts.map((text) => text.split(' ')[1])).size, WORDS.length)
  assert.equal(new Set(WORDS).size, WORDS.length)
  assert.notEqual(wordsText(16, 0), wordsText(16, WORDS.length), 'the order differs when the first word comes again')
})

test('stops are parts of the text where they come first', () => {
  const whole = 'The cat sat on the mat. The cat sat on the mat, and the dog was there too.'
  const stops = stopsIn(whole)
  assert.ok(stops.length > 3)
  for (const { text, before } of stops) {
    assert.equal(whole.indexOf(text), before.length)
    assert.equal(whole.slice(0, before.length), before)
  }
})

test('the peer carries the llama.cpp that this package is built from', () => {
  const pin = JSON.parse(readFileSync(join(packageRoot(), 'native', 'llama.cpp.json'), 'utf8'))
  assert.equal(peerVersion(), pin.version)
  const lock = JSON.parse(readFileSync(join(packageRoot(), 'bench', 'package-lock.json'), 'utf8'))
  assert.equal(lock.packages['node_modules/node-llama-cpp'].version, pin.version)
})

test('the cases have names of their own and say how they measure', () => {
  assert.equal(new Set(CASES.map(({ name }) => name)).size, CASES.length)
  for (const { name, how } of CASES) assert.match(how, /\.$/, name)
  assert.ok(TARGETS.length > 0)
})
