import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { OutputClosed } from '../../src/cli/errors.js'
import { type ReplOptions, runRepl } from '../../src/cli/repl.js'
import { Phi2Error } from '../../src/errors.js'
import { FakePhi2, piped, type Reply, Sink } from '../cli/fakes.js'

interface Pipe {
  input?: string
  reply?: (text: string) => Reply
  options?: Partial<ReplOptions>
  output?: Sink
}

async function runPiped({ input = '', reply, options = {}, output = new Sink() }: Pipe) {
  const phi2 = new FakePhi2(reply)
  const notes = new Sink()
  const signal = new AbortController().signal
  const streams = { input: piped(input), output, notes, terminal: undefined }
  const code = await runRepl(phi2, streams, { signal, ...options })
  return { code, output: output.text, notes: notes.text, phi2 }
}

test('each piped line is a turn and only the answers are printed', async () => {
  const { code, output, notes, phi2 } = await runPiped({ input: 'one\ntwo\n' })
  assert.equal(output, 'You said one.\nYou said two.\n')
  assert.equal(notes, '')
  assert.equal(code, 0)
  assert.deepEqual(phi2.lastChat.turns, [
    { user: 'one', assistant: 'You said one.' },
    { user: 'two', assistant: 'You said two.' },
  ])
})

test('a last line without a newline is a turn, blank lines are none, CRLF ends a line', async () => {
  const { output } = await runPiped({ input: '\r\n  \r\none\r\n\ntwo' })
  assert.equal(output, 'You said one.\nYou said two.\n')
})

test('an answer that ends with a newline gets no second one', async () => {
  const { output } = await runPiped({ input: 'one\n', reply: () => ({ chunks: ['a\n', 'b\n'] }) })
  assert.equal(output, 'a\nb\n')
})

test('an empty pipe is an empty conversation', async () => {
  const { code, output, notes } = await runPiped({ input: '' })
  assert.deepEqual({ code, output, notes }, { code: 0, output: '', notes: '' })
})

test('a failed turn is reported with its code, the next ones go on, and the exit code is 1', async () => {
  const reply = (text: string): Reply =>
    text === 'bad' ? { chunks: [], failure: new Phi2Error('PHI2_CONTEXT_FULL', 'Too long') } : { chunks: ['fine'] }
  const { code, output, notes } = await runPiped({ input: 'bad\ngood\n', reply })
  assert.equal(notes, 'phi2: Too long (PHI2_CONTEXT_FULL)\n')
  assert.equal(output, 'fine\n')
  assert.equal(code, 1)
})

test('commands work in a pipe, and what they say is not on the output', async () => {
  const { output, notes, phi2 } = await runPiped({ input: 'one\n/undo\n/undo\n' })
  assert.equal(output, 'You said one.\n')
  assert.equal(notes, 'Taken back: one\nThere is no turn to take back.\n')
  assert.deepEqual(phi2.lastChat.turns, [])
})

test('/exit ends before the lines that follow', async () => {
  const { code, output } = await runPiped({ input: 'one\n/exit\ntwo\n' })
  assert.equal(output, 'You said one.\n')
  assert.equal(code, 0)
})

test('a line that begins with a space and a slash is said', async () => {
  const { output } = await runPiped({ input: ' /etc/hosts\n' })
  assert.equal(output, 'You said /etc/hosts.\n')
})

test('speakers, head and generation options reach the library', async () => {
  const { phi2 } = await runPiped({
    input: 'hi\n',
    options: { chat: { user: 'Ann', assistant: 'Ben', head: 'In a garden.' }, generate: { maxTokens: 9, seed: 3 } },
  })
  assert.deepEqual([phi2.lastChat.user, phi2.lastChat.assistant, phi2.lastChat.head], ['Ann', 'Ben', 'In a garden.'])
  const { signal, ...asked } = phi2.lastChat.asked[0]!
  assert.deepEqual(asked, { maxTokens: 9, seed: 3 })
  assert.ok(signal instanceof AbortSignal)
})

test('dropped turns are told when their number changes, not at every answer', async () => {
  const dropped: Record<string, number> = { one: 0, two: 1, three: 1, four: 2, five: 0 }
  const { notes } = await runPiped({
    input: 'one\ntwo\nthree\nfour\nfive\n',
    reply: (text) => ({ chunks: ['x'], droppedTurns: dropped[text]! }),
  })
  assert.equal(
    notes,
    '(the oldest 1 turn no longer fit and were left out)\n(the oldest 2 turns no longer fit and were left out)\n',
  )
})

test('statistics follow each answer when asked for', async () => {
  const { notes } = await runPiped({ input: 'one\n', options: { stats: true } })
  assert.equal(
    notes,
    '(20 prompt tokens (12 cached), 8 tokens in 0.50 s, 17.5 tok/s, ended by "<|endoftext|>", seed 7)\n',
  )
})

test('an aborted signal ends the answer and the REPL with its reason, and what was said is printed', async () => {
  const abort = new AbortController()
  const output = new Sink()
  const reason = new Error('asked to end')
  const running = runPiped({
    input: 'one\ntwo\n',
    reply: () => ({ chunks: ['so ', 'far'], endless: true }),
    options: { signal: abort.signal },
    output,
  })
  setTimeout(() => abort.abort(reason), 100)
  await assert.rejects(running, reason)
  assert.equal(output.text, 'so far\n')
})

test('a signal that is aborted while waiting for a line ends the REPL', async () => {
  const abort = new AbortController()
  const reason = new Error('asked to end')
  const input = new PassThrough()
  const streams = { input, output: new Sink(), notes: new Sink(), terminal: undefined }
  const running = runRepl(new FakePhi2(), streams, { signal: abort.signal })
  setTimeout(() => abort.abort(reason), 50)
  await assert.rejects(running, reason)
})

test('a closed output ends the REPL instead of running through the rest of the input', async () => {
  const output = new Sink({ failure: Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }) })
  await assert.rejects(runPiped({ input: 'one\ntwo\n', output }), OutputClosed)
})
