import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { after, before, test } from 'node:test'
import { UsageError } from '../../src/cli/errors.js'
import { readPrompt, readText } from '../../src/cli/input.js'
import { fakeContext, Keyboard, piped } from '../cli/fakes.js'

let folder = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'phi2-input-'))
})
after(() => rm(folder, { recursive: true }))

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, content)
  return path
}

const from = (words: string[], path?: string) => ({ words, file: path })

test('arguments are joined by spaces and are text as they are', async () => {
  assert.equal(await readText(from(['Why', 'is  it', 'so?\n']), fakeContext(), 'question'), 'Why is  it so?\n')
})

test('with arguments, standard input is left alone', async () => {
  const stdin = piped('other text')
  assert.equal(await readText(from(['hi']), fakeContext({ stdin }), 'question'), 'hi')
  assert.equal(stdin.read()?.toString(), 'other text')
})

test('standard input is read when it is piped, and when - asks for it', async () => {
  for (const source of [from([]), from(['-']), from([], '-')]) {
    assert.equal(await readText(source, fakeContext({ stdin: piped('piped ü\n') }), 'question'), 'piped ü\n')
  }
})

test('a character that is cut in two by the pipe arrives whole', async () => {
  const stdin = new PassThrough()
  const bytes = Buffer.from('a🦊b')
  for (const byte of bytes) stdin.write(Uint8Array.of(byte))
  stdin.end()
  assert.equal(await readText(from([]), fakeContext({ stdin }), 'question'), 'a🦊b')
})

test('a file is read as UTF-8 and its byte order mark is left out', async () => {
  const path = await file('bom.txt', '\uFEFFhello\r\n')
  assert.equal(await readText(from([], path), fakeContext(), 'text'), 'hello\r\n')
})

test('a prompt loses the one newline that ends a file or the output of echo', async () => {
  const context = (text: string) => fakeContext({ stdin: piped(text) })
  assert.equal(await readPrompt(from([]), context('hello\n')), 'hello')
  assert.equal(await readPrompt(from([]), context('hello\r\n')), 'hello')
  assert.equal(await readPrompt(from([]), context('one\n\ntwo\n\n')), 'one\n\ntwo\n')
})

test('no text at all is wrong usage: empty input, blank prompt, or a terminal with nothing typed', async () => {
  await assert.rejects(readText(from([]), fakeContext({ stdin: piped('') }), 'question'), UsageError)
  await assert.rejects(readPrompt(from([]), fakeContext({ stdin: piped(' \n') })), UsageError)
  await assert.rejects(readPrompt(from(['']), fakeContext()), UsageError)
  await assert.rejects(readText(from([]), fakeContext({ stdin: new Keyboard() }), 'question'), /No question was given/)
})

test('a file and arguments together are wrong usage', async () => {
  await assert.rejects(readText(from(['x'], 'y.txt'), fakeContext(), 'question'), UsageError)
})

test('a file that cannot be read, or is no text, says so with its name', async () => {
  const context = fakeContext()
  await assert.rejects(readText(from([], join(folder, 'none.txt')), context, 'text'), {
    code: 'PHI2_IO',
    message: /none\.txt: ENOENT/,
  })
  await assert.rejects(readText(from([], folder), context, 'text'), { code: 'PHI2_IO', message: /EISDIR/ })
  const binary = await file('binary.bin', Uint8Array.of(0x47, 0xff, 0xfe))
  await assert.rejects(readText(from([], binary), context, 'text'), {
    code: 'PHI2_IO',
    message: /binary\.bin is not UTF-8/,
  })
})

test('the file may be a named pipe, as of a process substitution', { skip: process.platform === 'win32' }, async () => {
  const pipe = join(folder, 'pipe')
  execFileSync('mkfifo', [pipe])
  const [text] = await Promise.all([
    readText(from([], pipe), fakeContext(), 'text'),
    writeFile(pipe, 'What is a prime number?\n'),
  ])
  assert.equal(text, 'What is a prime number?\n')
})

test('a model in the place of a text is wrong usage, with a word on where it belongs', async () => {
  const model = await file('phi-2.gguf', Buffer.from('GGUF\x03\0\0\0'))
  await assert.rejects(readText(from([], model), fakeContext(), 'text'), (error: Error) => {
    assert.ok(error instanceof UsageError)
    assert.match(error.message, /phi-2\.gguf is a model.*--model/)
    return true
  })
})

test('an abort ends the wait for standard input with its reason', async () => {
  const abort = new AbortController()
  const reason = new Error('asked to end')
  const reading = readText(from([]), fakeContext({ stdin: new PassThrough(), signal: abort.signal }), 'text')
  setTimeout(() => abort.abort(reason), 20)
  await assert.rejects(reading, reason)
})
