import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TextReader } from '../../src/text-reader.js'

const finished = { done: true, value: undefined }
const chunk = (value: string) => ({ done: false, value })

test('a reader that waits gets each chunk as it comes', async () => {
  const reader = new TextReader('', () => {})
  for (const text of ['a', 'b', 'c']) {
    const next = reader.next()
    reader.push(text)
    assert.deepEqual(await next, chunk(text))
  }
  assert.equal(reader.lag, 0)
})

test('what came before the reader, and while it was away, comes in one piece', async () => {
  let reads = 0
  const reader = new TextReader('so far', () => reads++)
  assert.equal(reader.lag, 0)
  reader.push(' and')
  reader.push(' on')
  assert.equal(reader.lag, 2)
  assert.deepEqual(await reader.next(), chunk('so far and on'))
  assert.deepEqual([reader.lag, reads], [0, 1])
})

test('several waiting calls are served in their order, and the end ends all', async () => {
  const reader = new TextReader('', () => {})
  const waiting = [reader.next(), reader.next(), reader.next()]
  reader.push('a')
  reader.end()
  assert.deepEqual(await Promise.all(waiting), [chunk('a'), finished, finished])
  assert.deepEqual(await reader.next(), finished)
})

test('a failure comes once, behind the text that came before it', async () => {
  const failure = new Error('mine')
  const late = new TextReader('text', () => {})
  late.end({ reason: failure })
  late.push('too late')
  assert.deepEqual(await late.next(), chunk('text'))
  await assert.rejects(late.next(), failure)
  assert.deepEqual(await late.next(), finished)

  const waiting = new TextReader('', () => {})
  const [first, second] = [waiting.next(), waiting.next()]
  waiting.end({ reason: failure })
  await assert.rejects(first, failure)
  assert.deepEqual([await second, await waiting.next()], [finished, finished])
})

test('who returns hears of nothing more, not of a failure either', async () => {
  const reader = new TextReader('text', () => {})
  assert.deepEqual(await reader.return(), finished)
  reader.push('more')
  reader.end({ reason: new Error('unheard') })
  assert.deepEqual(await reader.next(), finished)

  const waiting = new TextReader('', () => {})
  const next = waiting.next()
  await waiting.return()
  assert.deepEqual(await next, finished)
})
