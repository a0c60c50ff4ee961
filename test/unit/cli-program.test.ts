import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CliOptions, type Command, defineCommand } from '../../src/cli/command.js'
import { program as realProgram } from '../../src/cli/commands.js'
import { exitCodeOf, UsageError } from '../../src/cli/errors.js'
import { fileFlag, generateFlags, jsonFlag, kebab, loadFlags } from '../../src/cli/options.js'
import { type CommandEntry, loadCommands, type Program, programHelp, runProgram } from '../../src/cli/program.js'
import { generateSchema, loadSchema, type OptionSpec } from '../../src/options.js'
import { packageVersion } from '../../src/package-root.js'
import { fakeContext, Keyboard, piped, Sink } from '../cli/fakes.js'

const realCommands = await loadCommands(realProgram.commands)

function loaded(command: Command): CommandEntry {
  return { name: command.name, load: async () => command }
}

interface Call {
  command: string
  values: Record<string, unknown>
  words: readonly string[]
}

/** The shape of the real program, with commands that only tell how they were called. */
function recorder() {
  const calls: Call[] = []
  const record = (name: string, options: CliOptions, code = 0): Command =>
    defineCommand({
      name,
      usage: `${name} [options]`,
      summary: `does ${name}`,
      options,
      examples: [[`phi2 ${name}`, 'an example']],
      run: async ({ values, words }) => {
        calls.push({ command: name, values, words })
        return code
      },
    })
  const ask = record('ask', { ...fileFlag, ...jsonFlag, ...generateFlags, ...loadFlags })
  const chat = record('chat', { user: { type: 'string', doc: 'name' }, ...loadFlags })
  const doctor = record('doctor', jsonFlag, 1)
  const commands = [ask, chat, doctor].map(loaded)
  const program: Program = { commands, fallback: loaded(ask), interactive: loaded(chat) }
  const stdout = new Sink()
  return {
    calls,
    stdout,
    run: (args: string[], context: Parameters<typeof fakeContext>[0] = {}) =>
      runProgram(program, args, fakeContext({ stdout, stdin: piped('text'), ...context })),
  }
}

async function calledWith(...args: string[]): Promise<Call> {
  const { calls, run } = recorder()
  await run(args)
  assert.equal(calls.length, 1)
  return calls[0]!
}

/** The message of the usage error that the arguments give, without running any command. */
async function refusal(...args: string[]): Promise<string> {
  const { calls, run } = recorder()
  const error = await run(args).then(
    () => assert.fail(`${args.join(' ')} was accepted`),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof UsageError, String(error))
  assert.equal(exitCodeOf(error), 2)
  assert.deepEqual(calls, [])
  return error.message
}

test('a prompt alone is asked, with all its words', async () => {
  assert.deepEqual(await calledWith('Why', 'is', 'the sky blue?'), {
    command: 'ask',
    values: {},
    words: ['Why', 'is', 'the sky blue?'],
  })
})

test('a named command gets the words after its name', async () => {
  assert.deepEqual(await calledWith('ask', 'hello'), { command: 'ask', values: {}, words: ['hello'] })
  assert.deepEqual(await calledWith('ask', 'chat'), { command: 'ask', values: {}, words: ['chat'] })
  assert.deepEqual(await calledWith('chat', '--user', 'Ann'), { command: 'chat', values: { user: 'Ann' }, words: [] })
})

test('options may stand before the command, and their values are no commands', async () => {
  assert.deepEqual(await calledWith('--model', 'chat', 'ask', 'hi'), {
    command: 'ask',
    values: { model: 'chat' },
    words: ['hi'],
  })
  assert.deepEqual(await calledWith('--json', 'ask', 'hi'), { command: 'ask', values: { json: true }, words: ['hi'] })
})

test('phi2 alone is a chat at a terminal and a question in a pipe', async () => {
  const terminal = { stdin: Object.assign(piped(''), { isTTY: true }), stdout: new Sink({ isTTY: true }) }
  for (const [context, command] of [
    [terminal, 'chat'],
    [{}, 'ask'],
    [{ stdin: terminal.stdin }, 'ask'],
    [{ stdout: terminal.stdout }, 'ask'],
  ] as const) {
    const { calls, run } = recorder()
    await run([], context)
    assert.equal(calls[0]?.command, command)
  }
  const { calls, run } = recorder()
  await run(['--file', 'x.txt'], terminal)
  assert.equal(calls[0]?.command, 'ask')
})

test('the exit code is that of the command', async () => {
  assert.equal(await recorder().run(['doctor']), 1)
  assert.equal(await recorder().run(['ask', 'x']), 0)
})

test('values are read by their types', async () => {
  const { values } = await calledWith(
    ...['ask', 'x', '--max-tokens', '12', '--temperature', '0.5', '--min-p=1e-3', '--seed', '0'],
    ...[
      '--stop',
      'a',
      '--stop',
      '"""',
      '--logprobs',
      '--profile',
      'none',
      '-m',
      'f.gguf',
      '--flash-attention',
      'false',
    ],
  )
  assert.deepEqual(values, {
    maxTokens: 12,
    temperature: 0.5,
    minP: 0.001,
    seed: 0,
    stop: ['a', '"""'],
    logprobs: true,
    profile: 'none',
    model: 'f.gguf',
    flashAttention: false,
  })
})

test('text stays as it was typed: numbers, quotes, dashes, the words help and version', async () => {
  assert.deepEqual((await calledWith('007', '1e3', '"quoted"', 'a.b')).words, ['007', '1e3', '"quoted"', 'a.b'])
  assert.deepEqual((await calledWith('ask', 'please', 'help')).words, ['please', 'help'])
  assert.deepEqual((await calledWith('please tell me my', 'version')).words, ['please tell me my', 'version'])
  assert.deepEqual((await calledWith('-')).words, ['-'])
  assert.deepEqual((await calledWith('ask', '--', '--json', '-x')).words, ['--json', '-x'])
  assert.deepEqual(await calledWith('--', 'chat'), { command: 'ask', values: {}, words: ['chat'] })
  assert.deepEqual((await calledWith('ask', '--file', '-')).values, { file: '-' })
  assert.deepEqual((await calledWith('ask', 'x', '--stop=--')).values, { stop: ['--'] })
})

test('an unknown option is refused with the one that was probably meant', async () => {
  assert.match(
    await refusal('ask', 'x', '--max-token', '5'),
    /Unknown option --max-token for phi2 ask\. Did you mean --max-tokens\?/,
  )
  assert.match(await refusal('x', '--maxTokens', '5'), /Unknown option --maxTokens\. Did you mean --max-tokens\?/)
  assert.match(await refusal('chat', '--jsn'), /Unknown option --jsn for phi2 chat\. Put --/)
  assert.match(await refusal('x', '--frobnicate'), /Unknown option --frobnicate\. Put -- before a prompt that begins/)
  assert.match(await refusal('ask', '-x'), /Unknown option -x/)
  for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
    assert.match(await refusal('ask', `--${name}`, 'x'), /Unknown option/)
  }
})

test('an option of another command is unknown', async () => {
  assert.match(await refusal('chat', '--json'), /Unknown option --json for phi2 chat/)
  assert.match(await refusal('hello', '--user', 'Ann'), /Unknown option --user/)
})

test('a mistyped command is refused with the one that was probably meant and the way to ask it', async () => {
  assert.match(await refusal('chta'), /Unknown command chta\. Did you mean chat\?.*phi2 ask chta/)
  assert.match(await refusal('docter', '--json'), /Did you mean doctor\?/)
})

test('a value of the wrong kind is refused by the name of the option', async () => {
  assert.equal(await refusal('x', '--max-tokens', 'abc'), '--max-tokens: expected an integer, found "abc".')
  assert.equal(await refusal('x', '--temperature', 'NaN'), '--temperature: expected a number, found "NaN".')
  assert.equal(await refusal('x', '--top-k', 'Infinity'), '--top-k: expected an integer, found "Infinity".')
  assert.equal(await refusal('x', '--profile', 'foo'), '--profile: expected one of qa, chat, code, none, found "foo".')
  assert.match(await refusal('x', '--kv-type', 'q8_0'), /--kv-type: expected one of f16, bf16, f32, found "q8_0"/)
  assert.match(await refusal('x', '--json=maybe'), /--json takes no value, found --json=maybe/)
})

test('an option without its value, or given twice, is refused', async () => {
  for (const args of [
    ['x', '--seed'],
    ['x', '--seed', '--json'],
    ['x', '--stop', '---'],
  ]) {
    assert.match(await refusal(...args), /Not enough arguments following: (seed|stop)\. .*--option=value/)
  }
  assert.equal(await refusal('x', '--seed='), '--seed needs a value.')
  assert.equal(await refusal('x', '--no-model'), '--model needs a value.')
  assert.equal(await refusal('x', '--stop', ''), '--stop needs a value.')
  assert.equal(await refusal('x', '--seed', '1', '--seed', '2'), '--seed was given 2 times; it takes one value.')
})

test('--version and --help run no command', async () => {
  for (const args of [['--version'], ['ask', '--version'], ['--help'], ['chat', '-h'], ['help'], ['help', 'ask']]) {
    const { calls, run, stdout } = recorder()
    assert.equal(await run(args), 0)
    assert.deepEqual(calls, [])
    assert.notEqual(stdout.text, '')
  }
  const { run, stdout } = recorder()
  await run(['--version'])
  assert.equal(stdout.text, `${packageVersion()}\n`)
})

test('help on a topic is that topic’s, and help on none that there is, is refused', async () => {
  const { run, stdout } = recorder()
  await run(['help', 'chat'])
  assert.match(stdout.text, /^phi2 chat \[options\]\n\ndoes chat\n/)
  assert.match(await refusal('help', 'chta'), /Unknown command chta\. Did you mean chat\?/)
  assert.deepEqual((await calledWith('help', 'me', 'please')).words, ['help', 'me', 'please'])
})

test('the help of the program lists every command', async () => {
  const text = (await programHelp(realProgram, undefined, 200)).replace(/\s+/g, ' ')
  for (const { name, summary } of realCommands) {
    assert.ok(text.includes(`phi2 ${name} `), name)
    assert.ok(text.includes(summary), summary)
  }
})

test('the help of a command shows all its options with their texts and an example', async () => {
  for (const command of realCommands) {
    const text = (await programHelp(realProgram, loaded(command), 200)).replace(/\s+/g, ' ')
    for (const [name, option] of Object.entries(command.options)) {
      assert.ok(text.includes(`--${kebab(name)} `), `${command.name} --${name}`)
      assert.ok(text.includes(option.doc.replace(/\s+/g, ' ')), `${command.name}: ${option.doc}`)
    }
    assert.ok(command.examples.length > 0)
    for (const [line, what] of command.examples) {
      assert.ok(text.includes(line.replace(/\s+/g, ' ')), line)
      assert.ok(text.includes(what), what)
    }
  }
})

test('an example is never broken over lines, however narrow the terminal', async () => {
  for (const columns of [20, 60, 80, 100]) {
    for (const command of [undefined, ...realCommands]) {
      const text = await programHelp(realProgram, command && loaded(command), columns)
      const lines = text
        .slice(text.indexOf('Examples:'))
        .split('\n')
        .map((line) => line.trim())
      for (const [example, what] of command?.examples ?? realCommands.map(({ examples }) => examples[0]!)) {
        const at = lines.findIndex((line) => line.startsWith(example))
        assert.ok(at >= 0, example)
        assert.equal(lines[at] === example ? lines[at + 1] : lines[at]!.slice(example.length).trim(), what)
      }
    }
  }
})

test('the help fits a narrow terminal', async () => {
  for (const line of (await programHelp(realProgram, realProgram.fallback, 60)).split('\n')) {
    assert.ok(line.length <= 60 || !line.startsWith('  -'), line)
  }
})

test('what the schemas offer to the command line is there, the rest is not', () => {
  for (const [schema, flags] of [
    [generateSchema, generateFlags],
    [loadSchema, loadFlags],
  ] as const) {
    const offered = Object.entries<OptionSpec>(schema).filter(([, spec]) => spec.cli)
    assert.ok(offered.length > 0)
    assert.deepEqual(
      Object.keys(flags),
      offered.map(([name]) => (name === 'n' ? 'choices' : name)),
    )
  }
})

test('an option means the same in every command, and no short name means two', () => {
  const types = new Map<string, string>()
  const shorts = new Map<string, string>()
  for (const { options } of realCommands) {
    for (const [name, { type, alias }] of Object.entries<CliOptions[string]>(options)) {
      assert.equal(types.get(name) ?? type, type, name)
      types.set(name, type)
      if (!alias) continue
      assert.equal(shorts.get(alias) ?? name, name, `-${alias}`)
      shorts.set(alias, name)
    }
  }
})

test('the examples in the help are accepted, and run the command that they stand for', async () => {
  for (const command of realCommands) {
    for (const [line] of command.examples) {
      const ran: string[] = []
      const tell = (real: Command): CommandEntry =>
        loaded({
          ...real,
          run: async () => {
            ran.push(real.name)
            return 0
          },
        })
      const commands = realCommands.map(tell)
      const atTerminal = { stdin: new Keyboard(), stdout: new Sink({ isTTY: true }) }
      const [, ...args] = shellWords(line.replace(/^.*\| /, '').replace(/ >>? .*$/, ''))
      await runProgram(
        { ...realProgram, commands, fallback: tell(await realProgram.fallback.load()) },
        args,
        fakeContext(atTerminal),
      )
      assert.deepEqual(ran, [command.name], line)
    }
  }
})

/** Splits a line as a shell does, for words with simple quotes. */
function shellWords(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, single, double, plain]) => single ?? double ?? plain ?? '',
  )
}
