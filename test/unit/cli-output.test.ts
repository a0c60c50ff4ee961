import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type AnswerFormat, planAnswer, printAnswer, type Streaming } from '../../src/cli/answer.js'
import { describeError, exitCodeOf, Interrupted, OutputClosed, UsageError } from '../../src/cli/errors.js'
import {
  formatBytes,
  formatPairs,
  formatStats,
  formatTable,
  write,
  writeJson,
  writeNote,
} from '../../src/cli/output.js'
import { optionError, Phi2Error } from '../../src/errors.js'
import type { Answer, ChatAnswer } from '../../src/types.js'
import { answerOf, FakeGeneration, fakeContext, type Reply, Sink } from '../cli/fakes.js'

const plain: AnswerFormat = { json: false, raw: false, stats: false }

async function printed(reply: Reply, format: AnswerFormat, isTTY = false): Promise<string> {
  const stdout = new Sink({ isTTY })
  await printAnswer(new FakeGeneration(reply, undefined, () => {}), format, fakeContext({ stdout }))
  return stdout.text
}

test('an answer is printed as it comes and its last line is ended', async () => {
  assert.equal(await printed({ chunks: ['a ', 'b'] }, plain), 'a b\n')
  assert.equal(await printed({ chunks: ['a ', 'b'] }, plain, true), 'a b\n')
  assert.equal(await printed({ chunks: ['a\n', 'b\n'] }, plain), 'a\nb\n')
  assert.equal(await printed({ chunks: [] }, plain), '\n')
})

test('of several answers the first is printed as it comes, the others after it, with a line between', async () => {
  assert.equal(await printed({ chunks: ['a ', 'b'], others: ['c', 'd\n'] }, plain), 'a b\n---\nc\n---\nd\n')
  const line = await printed({ chunks: [], others: ['c'] }, { ...plain, json: true })
  assert.deepEqual(
    (JSON.parse(line) as ChatAnswer).choices?.map(({ text }) => text),
    ['', 'c'],
  )
})

test('a raw answer gets no newline', async () => {
  assert.equal(await printed({ chunks: ['a ', 'b'] }, { ...plain, raw: true }), 'a b')
  assert.equal(await printed({ chunks: [] }, { ...plain, raw: true }, true), '')
})

test('a JSON answer is one object: on one line for programs, indented at a terminal', async () => {
  const json = { ...plain, json: true }
  const line = await printed({ chunks: [] }, json)
  assert.equal(line, `${JSON.stringify(answerOf(''))}\n`)
  assert.equal(await printed({ chunks: [] }, json, true), `${JSON.stringify(answerOf(''), null, 2)}\n`)
})

test('an aborted answer leaves what was said, its line ended, and rejects with the reason', async () => {
  const abort = new AbortController()
  const stdout = new Sink()
  const generation = new FakeGeneration({ chunks: ['so ', 'far'], endless: true }, abort.signal, () => {})
  const reason = new Interrupted('SIGINT')
  setTimeout(() => abort.abort(reason), 60)
  await assert.rejects(printAnswer(generation, plain, fakeContext({ stdout, signal: abort.signal })), reason)
  assert.equal(stdout.text, 'so far\n')
})

test('of several answers the first has its line ended even if another fails', async () => {
  const stdout = new Sink()
  const failure = new Phi2Error('PHI2_DECODE_FAILED', 'failed')
  const failed = Promise.reject(failure)
  const generation: Streaming<Answer> = {
    async *[Symbol.asyncIterator]() {
      yield 'first'
    },
    // biome-ignore lint/suspicious/noThenProperty: as a Generation
    then: failed.then.bind(failed),
  }
  await assert.rejects(printAnswer(generation, plain, fakeContext({ stdout })), failure)
  assert.equal(stdout.text, 'first\n')
})

test('an answer that fails before its first word prints nothing', async () => {
  const stdout = new Sink()
  const failure = new Phi2Error('PHI2_CONTEXT_FULL', 'Too long')
  const generation = new FakeGeneration({ chunks: [], failure }, undefined, () => {})
  await assert.rejects(printAnswer(generation, plain, fakeContext({ stdout })), failure)
  assert.equal(stdout.text, '')
})

test('options that contradict each other, or would have no effect, are refused', () => {
  assert.throws(() => planAnswer({ raw: true, json: true }), UsageError)
  assert.throws(() => planAnswer({ choices: 0 }), /for choices but received 0/)
  assert.throws(() => planAnswer({ raw: true, profile: 'qa' }), UsageError)
  assert.throws(() => planAnswer({ logprobs: true }), /add --json/)
  assert.throws(() => planAnswer({ topLogprobs: 3 }), /add --json/)
  assert.throws(() => planAnswer({ raw: true, choices: 2 }), /--json/)
  assert.equal(planAnswer({ raw: true, profile: 'none' }).generate.profile, 'none')
  assert.deepEqual(planAnswer({ choices: 3 }).generate, { n: 3 })
  assert.equal(planAnswer({ raw: true }).generate.profile, 'none')
  assert.deepEqual(planAnswer({ json: true, topLogprobs: 3 }).generate, { topLogprobs: 3 })
})

test('a value out of range is refused before a model is loaded, as wrong usage', () => {
  for (const values of [{ maxTokens: 0 }, { maxTokens: 1.5 }, { temperature: -1 }, { topP: 0 }, { contextSize: 1 }]) {
    const error = thrown(() => planAnswer(values))
    assert.equal((error as { code?: string }).code, 'PHI2_INVALID_OPTION', JSON.stringify(values))
    assert.equal(exitCodeOf(error), 2)
  }
})

test('values go to the load or to the generation, each to its own', () => {
  const { load, generate } = planAnswer({ threads: 2, model: 'x.gguf', flashAttention: false, seed: 1, stop: ['a'] })
  assert.deepEqual(load, { model: 'x.gguf', threads: 2, flashAttention: false })
  assert.deepEqual(generate, { seed: 1, stop: ['a'] })
})

test('the exit code tells what kind of end it was', () => {
  assert.equal(exitCodeOf(new UsageError('x')), 2)
  assert.equal(exitCodeOf(optionError('range', 'x')), 2)
  assert.equal(exitCodeOf(new Phi2Error('PHI2_MODEL_NOT_FOUND', 'x')), 1)
  assert.equal(exitCodeOf(new Error('x')), 1)
  assert.equal(exitCodeOf('x'), 1)
  assert.equal(exitCodeOf(new Interrupted('SIGINT')), 130)
  assert.equal(exitCodeOf(new Interrupted('SIGTERM')), 143)
  assert.equal(exitCodeOf(new OutputClosed('x')), 0)
})

test('an error is one line with its code, and a stack only on request', () => {
  const error = new Phi2Error('PHI2_MODEL_NOT_FOUND', 'No model at x.gguf.')
  assert.equal(describeError(error), 'phi2: No model at x.gguf. (PHI2_MODEL_NOT_FOUND)')
  assert.equal(describeError(new UsageError('Wrong.')), 'phi2: Wrong.')
  assert.equal(describeError('odd'), 'phi2: odd')
  assert.match(describeError(error, true)!, /^phi2: .*No model at x\.gguf\.\n +at /)
  assert.equal(describeError(new Interrupted('SIGINT')), undefined)
  assert.equal(describeError(new OutputClosed('x')), undefined)
})

test('a write to a closed pipe rejects with OutputClosed, any other failure with itself', async () => {
  for (const code of ['EPIPE', 'ERR_STREAM_DESTROYED']) {
    await assert.rejects(write(new Sink({ failure: Object.assign(new Error(code), { code }) }), 'x'), OutputClosed)
  }
  const full = Object.assign(new Error('disk full'), { code: 'ENOSPC' })
  await assert.rejects(write(new Sink({ failure: full }), 'x'), full)
  const stream = new Sink()
  stream.end()
  await assert.rejects(write(stream, 'x'), OutputClosed)
})

test('a note that nobody reads is no failure', async () => {
  await writeNote(new Sink({ failure: Object.assign(new Error('EPIPE'), { code: 'EPIPE' }) }), 'x')
  const stream = new Sink()
  await writeNote(stream, 'x')
  assert.equal(stream.text, 'x\n')
})

test('a write waits until the text has left', async () => {
  const stream = new Sink()
  await write(stream, 'one')
  assert.equal(stream.text, 'one')
  await writeJson(stream, [1])
  assert.equal(stream.text, 'one[1]\n')
})

test('pairs and tables are aligned and have no trailing spaces', () => {
  assert.equal(
    formatPairs([
      ['a', '1'],
      ['long', ''],
      ['bc', '23'],
    ]),
    'a     1\nlong\nbc    23',
  )
  assert.equal(
    formatTable([
      ['id', 'text'],
      ['15496', '"Hello"'],
      ['0', ''],
    ]),
    'id     text\n15496  "Hello"\n0',
  )
})

test('statistics say how an answer ended', () => {
  const { stop: _, ...answer } = answerOf('x')
  assert.match(formatStats({ ...answer, stop: 'Instruct:' }), /ended by "Instruct:", seed 7$/)
  assert.match(formatStats({ ...answer, finishReason: 'length' }), /ended by its length limit/)
})

test('bytes are shown in the unit that fits', () => {
  assert.equal(formatBytes(1_789_239_136), '1.8 GB')
  assert.equal(formatBytes(41_600_000), '41.6 MB')
  assert.equal(formatBytes(1500), '2 kB')
})

function thrown(body: () => unknown): unknown {
  try {
    body()
  } catch (error) {
    return error
  }
  return assert.fail('Nothing was thrown')
}
