import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CodeAnswer, ModelInfo } from '../../src/types.js'
import { phi2, type Run, shell } from './run.js'

const QUESTION = 'What is the capital of France?'
const ANSWER = 'The capital of France is Paris.'
/** The one line that tells that the embedded model answers. */
const TINY =
  /^phi2: this is phi-2-tiny, the embedded toy model\. `phi2 pull` downloads the real Phi-2 \(1\.8 GB\).*--model FILE.*PHI2_MODEL\.\n$/
/** A base model without a stop profile runs on: some seconds of text. */
const LONG = ['ask', QUESTION, '--profile', 'none', '--max-tokens', '1900']

let folder = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'phi2 cli '))
})
after(() => rm(folder, { recursive: true }))

async function file(name: string, content: string): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, content)
  return path
}

/** The run must have succeeded, with nothing on standard error but the line about the embedded model. */
function output(run: Run): string {
  assert.deepEqual([run.code, run.signal], [0, null], run.stderr)
  assert.match(run.stderr, TINY)
  return run.stdout
}

function assertRefused(run: Run, message: RegExp): void {
  assert.deepEqual([run.code, run.signal, run.stdout], [2, null, ''], run.stderr)
  assert.match(run.stderr, message)
  assert.doesNotMatch(run.stderr, /\n +at /)
}

test('a question is answered, whichever way it comes in', async () => {
  assert.equal(output(await phi2([QUESTION])), `${ANSWER}\n`)
  assert.equal(output(await phi2(['ask', ...QUESTION.split(' ')])), `${ANSWER}\n`)
  assert.equal(output(await phi2([], { input: `${QUESTION}\n` })), `${ANSWER}\n`)
  assert.equal(output(await phi2(['ask', '-'], { input: QUESTION })), `${ANSWER}\n`)
  assert.equal(output(await phi2(['--file', await file('question.txt', `${QUESTION}\n`)])), `${ANSWER}\n`)
})

test('the embedded model is announced only when nobody chose it', async () => {
  for (const run of [
    await phi2([QUESTION, '--model', 'tiny']),
    await phi2([QUESTION], { env: { PHI2_MODEL: 'tiny' } }),
  ]) {
    assert.equal(run.stdout, `${ANSWER}\n`)
    assert.equal(run.stderr, '')
    assert.equal(run.code, 0)
  }
})

test('--json prints one object and nothing else', async () => {
  const text = output(await phi2(['ask', QUESTION, '--json', '--top-logprobs', '3', '--seed', '11']))
  assert.equal(text.trimEnd().split('\n').length, 1)
  const answer = JSON.parse(text)
  assert.equal(answer.text, ANSWER)
  assert.equal(answer.finishReason, 'stop')
  assert.equal(answer.seed, 11)
  assert.equal(answer.usage.totalTokens, answer.usage.promptTokens + answer.usage.completionTokens)
  assert.equal(answer.logprobs.length, answer.tokens.length)
  for (const { top } of answer.logprobs) assert.equal(top.length, 3)
})

test('--raw prints the text untouched: it runs on, and no newline is added', async () => {
  const text = output(await phi2(['ask', QUESTION, '--raw', '--max-tokens', '60']))
  assert.ok(text.startsWith(` ${ANSWER}\n`), text)
  assert.match(text, /Instruct:/)
  assert.ok(!text.endsWith('\n'), text)
  const { text: same } = JSON.parse(
    output(await phi2(['ask', QUESTION, '--profile', 'none', '--max-tokens', '60', '--json'])),
  )
  assert.equal(text, same)
})

test('sampling options reach the model', async () => {
  const stopped = JSON.parse(output(await phi2(['ask', QUESTION, '--stop', 'Berlin', '--stop', 'Paris', '--json'])))
  assert.deepEqual([stopped.text, stopped.stop], ['The capital of France is', 'Paris'])
  const short = JSON.parse(output(await phi2(['ask', QUESTION, '--max-tokens', '2', '--json'])))
  assert.deepEqual([short.text, short.finishReason, short.tokens.length], ['The capital', 'length', 2])
  const drawn = ['complete', 'Once', '--temperature', '2', '--top-k', '0', '--top-p', '1', '--min-p', '0', '-n', '30']
  const once = output(await phi2([...drawn, '--seed', '1']))
  assert.equal(output(await phi2([...drawn, '--seed', '1'])), once)
  assert.notEqual(output(await phi2([...drawn, '--seed', '2'])), once)
})

test('complete goes on with a text as it is', async () => {
  const text = output(await phi2(['complete', `Instruct: ${QUESTION}\nOutput:`, '--max-tokens', '7']))
  assert.equal(text, ` ${ANSWER}\n`)
})

test('--stats is one line more on standard error', async () => {
  const run = await phi2([QUESTION, '--stats', '--model', 'tiny'])
  assert.equal(run.stdout, `${ANSWER}\n`)
  assert.match(
    run.stderr,
    /^phi2: \d+ prompt tokens \(0 cached\), \d+ tokens in [\d.]+ s, [\d.]+ tok\/s, ended by ".*", seed \d+\n$/,
  )
})

test('code prints the body, the whole function, or goes on with a source', async () => {
  const request = ['code', 'def is_even(n):', '--docstring', 'Return True if n is even']
  const answer: CodeAnswer = JSON.parse(output(await phi2([...request, '--json'])))
  assert.match(answer.text, /^ +\S/)
  assert.match(answer.source, /^def is_even\(n\):\n/)
  assert.ok(answer.source.endsWith(answer.text))
  assert.equal(output(await phi2(request)), `${answer.text}\n`)
  assert.equal(output(await phi2([...request, '--source'])), `${answer.source}\n`)
  const prompt = answer.source.slice(0, -answer.text.length).trimEnd()
  assert.equal(output(await phi2(['code', '--file', await file('even.py', prompt)])), `${answer.text}\n`)
  assert.equal(output(await phi2(['code'], { input: prompt })), `${answer.text}\n`)
})

test('tokens shows ids and texts, their number, and the way back', async () => {
  const text = 'Hello  world, ünïcode 🦊\n'
  const list: { id: number; text: string }[] = JSON.parse(output(await phi2(['tokens', '--json'], { input: text })))
  assert.ok(list.length > 5)
  assert.equal(output(await phi2(['tokens', '--count'], { input: text })), `${list.length}\n`)
  const rows = list.map((token) => `${token.id}\t${JSON.stringify(token.text)}\n`)
  assert.equal(output(await phi2(['tokens'], { input: text })), rows.join(''))
  assert.equal(output(await phi2(['tokens', '--decode', ...list.map(({ id }) => String(id))])), text)
  assert.equal(output(await phi2(['tokens', '--decode'], { input: `[${list.map(({ id }) => id).join(', ')}]` })), text)
})

test('<|endoftext|> is one token, or text with --no-special', async () => {
  assert.equal(output(await phi2(['tokens', '<|endoftext|>'])), '50256\t"<|endoftext|>"\n')
  assert.ok(Number(output(await phi2(['tokens', '<|endoftext|>', '--no-special', '--count']))) > 1)
})

test('token ids that are none are wrong usage', async () => {
  assertRefused(await phi2(['tokens', '--decode', '12', 'x3']), /Expected token ids .* found "x3"/)
  const beyond = await phi2(['tokens', '--decode', '999999'])
  assert.equal(beyond.code, 2)
  assert.match(beyond.stderr, /\(PHI2_INVALID_OPTION\)/)
})

test('info tells what is loaded', async () => {
  const info: ModelInfo = JSON.parse(output(await phi2(['info', '--json', '--context-size', '512'])))
  assert.deepEqual([info.embedded, info.contextSize, info.headSize], [true, 512, 80])
  const text = output(await phi2(['info']))
  assert.match(text, /^model +.*embedded/m)
  assert.match(text, /^vocabulary +50295 of 51200 ids in use$/m)
})

test('doctor finds this installation in order and says on what it looked', async () => {
  const run = await phi2(['doctor', '--json'], { env: { PHI2_MODEL: '/nowhere.gguf' } })
  assert.deepEqual([run.code, run.stderr], [0, ''])
  const { ok, system, selfCheck } = JSON.parse(run.stdout)
  assert.equal(ok, true)
  assert.equal(system.node, process.versions.node)
  assert.ok(system.devices.length > 0)
  assert.ok(system.cpu.features.length > 0)
  assert.equal(selfCheck.reference, true)
  assert.ok(selfCheck.maxDifference <= selfCheck.tolerance)
  const text = await phi2(['doctor'])
  assert.equal(text.code, 0)
  assert.equal(text.stderr, '')
  for (const part of [system.llama, system.cpu.model, system.cpu.backend, selfCheck.prompts[0].name]) {
    assert.ok(text.stdout.includes(part), part)
  }
  assert.match(text.stdout, /^PASS: greatest difference/m)
})

test('doctor without an addon names what is missing, and ends with 1', async () => {
  const env = { PHI2_BINDING: join(folder, 'none.node') }
  const json = await phi2(['doctor', '--json'], { env })
  assert.equal(json.code, 1)
  const report = JSON.parse(json.stdout)
  assert.equal(report.ok, false)
  assert.equal(report.error.code, 'PHI2_BINDING_NOT_FOUND')
  assert.equal(report.system.node, process.versions.node)
  const text = await phi2(['doctor'], { env })
  assert.equal(text.code, 1)
  assert.match(text.stdout, /^node +\d/m)
  assert.match(text.stderr, /\(PHI2_BINDING_NOT_FOUND\)\n$/)
})

test('help and version need no addon', async () => {
  const env = { PHI2_BINDING: join(folder, 'none.node') }
  for (const args of [['--help'], ['--version'], ['chat', '--help']]) {
    const run = await phi2(args, { env })
    assert.deepEqual([run.code, run.stderr], [0, ''], args.join(' '))
    assert.notEqual(run.stdout, '')
  }
})

test('wrong usage ends with 2, says what to write instead, and prints nothing', async () => {
  assertRefused(
    await phi2([QUESTION, '--max-token', '3']),
    /^phi2: Unknown option --max-token\. Did you mean --max-tokens\?\n/,
  )
  assertRefused(await phi2(['chta']), /^phi2: Unknown command chta\. Did you mean chat\?/)
  assertRefused(await phi2([]), /^phi2: No question was given: standard input was empty\.\n/)
  assertRefused(await phi2([QUESTION, '--seed', 'abc']), /--seed: expected an integer, found "abc"/)
  assertRefused(await phi2([QUESTION, '--max-tokens', '0']), /for maxTokens but received 0 .*\(PHI2_INVALID_OPTION\)/)
  assertRefused(await phi2(['info', 'extra']), /takes no argument/)
})

test('a failure ends with 1 and tells its code, and its stack only when PHI2_DEBUG is set', async () => {
  const args = [QUESTION, '--model', join(folder, 'none.gguf')]
  const run = await phi2(args)
  assert.deepEqual([run.code, run.stdout], [1, ''])
  assert.match(run.stderr, /^phi2: .*none\.gguf.* \(PHI2_MODEL_NOT_FOUND\)\n$/)
  const debug = await phi2(args, { env: { PHI2_DEBUG: '1' } })
  assert.equal(debug.code, 1)
  assert.match(debug.stderr, /none\.gguf.*\n +at /s)
})

test('a file that is no model, and a prompt that does not fit, fail with their codes', async () => {
  const junk = await phi2([QUESTION, '--model', await file('junk.gguf', 'not a model')])
  assert.deepEqual([junk.code, junk.stdout], [1, ''])
  assert.match(junk.stderr, /^phi2: .* \(PHI2_INVALID_GGUF\)\n$/)
  const long = await phi2(['complete', '--model', 'tiny'], { input: 'many words '.repeat(3000) })
  assert.deepEqual([long.code, long.stdout], [1, ''])
  assert.match(long.stderr, /^phi2: .* \(PHI2_CONTEXT_FULL\)\n$/)
})

test('an interrupted answer ends with 130 or 143, and what was said until then is printed', async () => {
  const whole = output(await phi2(LONG))
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const run = await phi2(LONG, { onOutput: (child: ChildProcess) => child.kill(signal) })
    assert.deepEqual([run.code, run.signal], [code, null])
    assert.match(run.stderr, TINY)
    const said = run.stdout.replace(/\n$/, '')
    assert.notEqual(said, '')
    assert.ok(run.stdout.endsWith('\n'))
    assert.ok(whole.startsWith(said), said)
    assert.ok(said.length < whole.length / 2, `${said.length} of ${whole.length} characters`)
  }
})

test('an interrupt while waiting for standard input ends with 130', async () => {
  const run = await phi2(['ask'], {
    input: null,
    onSpawn: async (child) => {
      await sleep(2000)
      child.kill('SIGINT')
    },
  })
  assert.deepEqual(run, { code: 130, signal: null, stdout: '', stderr: '' })
})

test('a reader that leaves early ends the answer quietly with 0', async () => {
  const run = await phi2(LONG, { onOutput: (child) => child.stdout?.destroy() })
  assert.deepEqual([run.code, run.signal], [0, null])
  assert.match(run.stderr, TINY)
})

test('| head -1 prints one line, and the pipeline is quiet', async () => {
  const run = await shell(
    `( $PHI2 ask '${QUESTION}' --raw --max-tokens 1900 --model tiny; echo "exit $?" >&2 ) | head -1`,
  )
  assert.equal(run.stdout, ` ${ANSWER}\n`)
  assert.equal(run.stderr, 'exit 0\n')
})

test('an open standard input that nobody needs does not keep the program', async () => {
  assert.equal(output(await phi2([QUESTION], { input: null })), `${ANSWER}\n`)
  const chat = await phi2(['chat'], { input: null, onSpawn: (child) => child.stdin?.write('/exit\n') })
  assert.equal(output(chat), '')
})

test('in a piped chat each line is a turn and only the answers are printed', async () => {
  const run = await phi2(['chat', '--temperature', '0'], { input: 'Hello!\nWhat is your name?\n' })
  const answers = output(run)
  assert.doesNotMatch(answers, /Alice:|Bob:/)
  assert.ok(answers.trimEnd().split('\n').length >= 2, answers)
  assert.equal(answers, output(await phi2(['chat', '--temperature', '0'], { input: 'Hello!\nWhat is your name?' })))
})

test('a chat that outgrows the context goes on, and says that oldest turns were left out', async () => {
  const line = `Here are many words: ${'more and '.repeat(200)}more.`
  const run = await phi2(['chat', '--max-tokens', '5', '--model', 'tiny', '--temperature', '0'], {
    input: `${line}\n`.repeat(7),
  })
  assert.equal(run.code, 0, run.stderr)
  assert.match(run.stderr, /^(\(the oldest \d turns? no longer fit and were left out\)\n)+$/)
})

test('a chat is saved, and goes on where it was', async () => {
  const path = join(folder, 'my chat.json')
  const first = await phi2(
    ['chat', '--user', 'Ann', '--assistant', 'Ben', '--head', 'Ben is kind.', '--model', 'tiny'],
    {
      input: `Hello!\n/save ${path}\n`,
    },
  )
  assert.equal(first.stderr, `Saved 1 turn to ${path}\n`)
  const saved = JSON.parse(await readFile(path, 'utf8'))
  assert.deepEqual([saved.user, saved.assistant, saved.head, saved.turns.length], ['Ann', 'Ben', 'Ben is kind.', 1])
  assert.equal(`${saved.turns[0].assistant}\n`, first.stdout)
  const second = await phi2(['chat', '--load', path, '--model', 'tiny'], { input: `And you?\n/save ${path}\n` })
  assert.equal(second.stderr, `Saved 2 turns to ${path}\n`)
  const both = JSON.parse(await readFile(path, 'utf8'))
  assert.deepEqual(both.turns[0], saved.turns[0])
  assert.deepEqual(both.turns[1], { user: 'And you?', assistant: second.stdout.trimEnd() })
})

test('a chat that was saved with its state goes on without being read anew', async () => {
  const path = join(folder, 'with state.json')
  const chat = ['chat', '--model', 'tiny', '--temperature', '0', '--stats']
  const first = await phi2(chat, { input: `Hello! How are you today?\n/save ${path} --state\nAny plans?\n` })
  assert.match(first.stderr, /^Saved 1 turn to .*with state\.json, with \d+ kB of state$/m)
  const { state } = JSON.parse(await readFile(path, 'utf8'))
  const second = await phi2([...chat, '--load', path], { input: 'Any plans?\n' })
  assert.match(second.stderr, new RegExp(`^\\(\\d+ prompt tokens \\(${state.tokens} cached\\)`))
  assert.ok(first.stdout.endsWith(second.stdout))
  const other = await phi2([...chat, '--load', path, '--kv-type', 'f32'], { input: 'Any plans?\n' })
  assert.equal(other.code, 0)
  assert.match(
    other.stderr,
    /with state\.json\.kv was not used: .* kvType f16, .* f32 \(PHI2_INVALID_STATE\)\nThe chat is read anew with the next message\.\n\(\d+ prompt tokens \(0 cached\)/,
  )
})

test('a file that is no chat is refused by its code', async () => {
  const path = await file('odd.json', '{"format": "other"}')
  const run = await phi2(['chat', '--load', path, '--model', 'tiny'])
  assert.deepEqual([run.code, run.stdout], [1, ''])
  assert.match(run.stderr, /\(PHI2_INVALID_TRANSCRIPT\)\n$/)
})

test('in a piped chat an interrupt ends with 130 after what was said', async () => {
  const run = await phi2(['chat', '--profile', 'none', '--max-tokens', '1900', '--model', 'tiny'], {
    input: 'Hello!\nHello again!\n',
    onOutput: (child) => child.kill('SIGINT'),
  })
  assert.deepEqual([run.code, run.signal, run.stderr], [130, null, ''])
  assert.match(run.stdout, /\S.*\n$/s)
})
