import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { tinyModelPath } from '../../src/models/resolve.js'
import { type HubServer, hubServer } from '../helpers/hub-server.js'
import { temporaryFolder, tinyCheckpoint } from '../helpers/model.js'
import { phi2, type Run } from './run.js'
import { findDriver, openTerminal, type Terminal, type TerminalOptions } from './terminal.js'

const TOKEN = 'hf_very_secret'
const QUESTION = 'What is the capital of France?'
const ANSWER = 'The capital of France is Paris.\n'

const tiny = tinyCheckpoint()
const checkpoint =
  'folder' in tiny ? readdirSync(tiny.folder).map((name) => [name, join(tiny.folder, name)] as const) : []
const content = {
  'tiny.gguf': readFileSync(tinyModelPath()),
  'slow.gguf': randomBytes(8 << 20),
  ...Object.fromEntries(checkpoint.map(([name, path]) => [name, readFileSync(path)])),
}

let hub: HubServer
let slowHub: HubServer
before(async () => {
  hub = await hubServer(content)
  slowHub = await hubServer(content, { delay: 40 })
})
after(async () => {
  await hub[Symbol.asyncDispose]()
  await slowHub[Symbol.asyncDispose]()
})

/** The program with the hub above and a cache, by default a new one. */
function workplace(cache = temporaryFolder()) {
  const env = { PHI2_CACHE: cache, HF_ENDPOINT: hub.url, MODELSCOPE_DOMAIN: hub.otherUrl, HF_TOKEN: TOKEN }
  return { cache, run: (...args: string[]) => phi2(args, { env }) }
}

function output({ code, stderr, stdout }: Run): string {
  assert.deepEqual([code, stderr], [0, ''])
  return stdout
}

test('pull prints the path and nothing else, and the file answers by its reference', async () => {
  const { cache, run } = workplace()
  const path = join(cache, 'models', 'hf', 'org', 'name', 'main', 'tiny.gguf')
  assert.equal(output(await run('pull', 'hf:org/name/tiny.gguf')), `${path}\n`)
  assert.deepEqual(readFileSync(path), content['tiny.gguf'])
  const asked = hub.requests.length
  assert.equal(output(await run('ask', '--model', 'hf:org/name/tiny.gguf', QUESTION)), ANSWER)
  const { cached, path: same, verified } = JSON.parse(output(await run('pull', 'hf:org/name/tiny.gguf', '--json')))
  assert.deepEqual([cached, same, verified], [true, path, true])
  assert.equal(hub.requests.length, asked)
})

test('ask downloads a model that is given by its reference', async () => {
  const { run } = workplace()
  assert.equal(output(await run('ask', '--model', 'modelscope:org/name/tiny.gguf', QUESTION)), ANSWER)
})

test('cache shows, removes and finds what was pulled', async () => {
  const { cache, run } = workplace()
  assert.equal(output(await run('cache', 'path')), `${cache}\n`)
  assert.deepEqual(JSON.parse(output(await run('cache', '--json'))), [])
  assert.match((await run('cache', 'ls')).stderr, /^phi2: nothing is in .* phi2 pull downloads a model\.\n$/)
  await run('pull', 'hf:org/name/tiny.gguf@v1')
  const rows = output(await run('cache', 'ls')).split('\n')
  assert.match(rows[0]!, /^name +size +state +date +source$/)
  assert.match(
    rows[1]!,
    /^hf:org\/name\/tiny\.gguf@v1 +43\.\d MB +complete +\d{4}-\d\d-\d\d +hf:org\/name\/tiny\.gguf@v1$/,
  )
  const none = await run('cache', 'rm', 'q4_k_m')
  assert.deepEqual([none.code, none.stdout], [1, ''])
  assert.match(none.stderr, /It has hf:org.*\(PHI2_MODEL_NOT_FOUND\)\n$/)
  const removed = await run('cache', 'rm', '--all')
  assert.match(removed.stderr, /^phi2: removed hf:org\/name\/tiny\.gguf@v1 \(43\.\d MB\)\n$/)
  assert.deepEqual(JSON.parse(output(await run('cache', 'ls', '--json'))), [])
})

test('a download that is refused ends with 1, and nowhere is the token', async () => {
  const closed = await hubServer({}, { status: () => 403 })
  const env = { PHI2_CACHE: temporaryFolder(), HF_ENDPOINT: closed.url, HF_TOKEN: TOKEN, PHI2_DEBUG: '1' }
  for (const args of [['pull'], ['pull', 'hf:a/b/c.gguf'], ['ask', '--model', 'hf:a/b/c.gguf', 'Hi']]) {
    const { code, stderr, stdout } = await phi2(args, { env })
    assert.deepEqual([code, stdout], [1, ''])
    assert.match(stderr, /refuses access \(403\)/)
    assert.doesNotMatch(stderr, /secret/)
  }
  assert.equal(closed.requests[0]!.authorization, `Bearer ${TOKEN}`)
  await closed[Symbol.asyncDispose]()
})

test(
  'a checkpoint is pulled, converted and quantized, and the result answers',
  'skip' in tiny ? tiny : {},
  async () => {
    const { cache, run } = workplace()
    const folder = join(cache, 'models', 'hf', 'org', 'phi-2-tiny', 'main')
    const q8 = output(await run('pull', 'hf:org/phi-2-tiny', '--convert', 'q8_0'))
    assert.equal(q8, `${join(folder, 'phi-2-tiny-q8_0.gguf')}\n`)
    assert.equal(output(await run('ask', '--model', q8.trim(), QUESTION)), ANSWER)

    const asked = hub.requests.length
    const json = output(await run('pull', 'hf:org/phi-2-tiny', '--convert', 'Q4_K_M', '--no-keep-checkpoint', '--json'))
    const made = JSON.parse(json)
    assert.equal(hub.requests.length, asked, 'the checkpoint was there')
    assert.deepEqual([made.verified, made.source, made.cached], [true, 'hf:org/phi-2-tiny', false])
    assert.deepEqual(readdirSync(folder).sort(), [
      'phi-2-tiny-q4_k_m.gguf',
      'phi-2-tiny-q4_k_m.gguf.source.json',
      'phi-2-tiny-q8_0.gguf',
      'phi-2-tiny-q8_0.gguf.source.json',
    ])
    assert.equal(existsSync(join(cache, 'checkpoints', 'hf')), false)
    assert.match(output(await run('ask', '--model', 'hf:org/phi-2-tiny/phi-2-tiny-q4_k_m.gguf', QUESTION)), /\w/)
    const { keys } = JSON.parse(output(await run('inspect', made.path, '--json')))
    assert.match(JSON.stringify(keys), /general\.source\.repo_url.*org\/phi-2-tiny/)
    assert.equal(
      JSON.parse(output(await run('pull', 'hf:org/phi-2-tiny', '--convert', 'q4_k_m', '--json'))).cached,
      true,
    )
    assert.equal(hub.requests.length, asked)
  },
)

const driver = findDriver()
const options = {
  skip: driver ? false : 'no pseudo-terminal: none of tmux, script (util-linux), python3 is on the PATH',
}

async function withTerminal(given: TerminalOptions, body: (terminal: Terminal) => Promise<void>): Promise<void> {
  const terminal = await openTerminal(driver!, given)
  try {
    await body(terminal)
  } finally {
    await terminal.close()
  }
}

test('at a terminal a pull shows how far it is', options, () =>
  withTerminal({ env: { HF_ENDPOINT: slowHub.url } }, async (terminal) => {
    terminal.type('phi2 pull hf:org/name/slow.gguf\r')
    await terminal.sees('downloading slow.gguf ')
    await terminal.sees('% · ')
    await terminal.sees(' of 8.4 MB')
    await terminal.sees('phi2: 8.4 MB, hf:org/name/slow.gguf\n')
    await terminal.sees('slow.gguf\nshell> ')
  }),
)

test('Ctrl-C ends a pull with 130 and a clean line, and the next one goes on', options, async () => {
  // Slow enough for a busy machine to type before the end.
  await using slower = await hubServer(content, { delay: 120 })
  await withTerminal({ env: { HF_ENDPOINT: slower.url } }, async (terminal) => {
    terminal.type('phi2 pull hf:org/name/slow.gguf\r')
    await terminal.sees('% · ')
    terminal.type('\x03')
    await terminal.sees('shell> ')
    terminal.type('echo "code=$?" $(ls $PHI2_CACHE/models/hf/org/name/main)\r')
    await terminal.sees('code=130 slow.gguf.partial slow.gguf.partial.json\n')
    terminal.type('phi2 pull hf:org/name/slow.gguf\r')
    await terminal.sees('phi2: 8.4 MB, hf:org/name/slow.gguf\n')
    await terminal.sees('slow.gguf\nshell> ')
  })
})

test('the offer to download is made once at a terminal, and no is remembered', options, () =>
  withTerminal({ declined: false }, async (terminal) => {
    terminal.type(`phi2 ask '${QUESTION}'\r`)
    await terminal.sees('Download the real microsoft/phi-2 now? 1.8 GB, MIT licence, into ')
    await terminal.sees('[y/n] ')
    terminal.type('\x03')
    await terminal.sees('shell> ')
    terminal.type('echo "code=$?"\r')
    await terminal.sees('code=130\n')

    terminal.type(`phi2 ask '${QUESTION}'\r`)
    await terminal.sees('[y/n] ')
    terminal.type('n\r')
    await terminal.sees('you will not be asked again')
    await terminal.sees(ANSWER)
    await terminal.sees('shell> ')
    terminal.type('phi2 chat\r')
    const before = await terminal.sees('Alice: ')
    assert.doesNotMatch(before, /\[y\/n\]/)
    terminal.type('\x04')
    await terminal.sees('shell> ')
  }),
)

test('a chat goes on after the offer with the keyboard it needs', options, () =>
  withTerminal({ declined: false }, async (terminal) => {
    terminal.type('phi2 chat --temperature 0\r')
    await terminal.sees('[y/n] ')
    terminal.type('\r')
    await terminal.sees('Alice: ')
    terminal.type(`${QUESTION}\r`)
    await terminal.sees('Paris')
    await terminal.sees('Alice: ')
    terminal.type('\x04')
    await terminal.sees('shell> ')
  }),
)
