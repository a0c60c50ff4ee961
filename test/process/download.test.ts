import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type ChildResult, type Program, startProgram } from '../helpers/child.js'
import { type Asked, hostileServer } from '../helpers/hostile-server.js'

const content = randomBytes(4 << 20)
const sha256 = createHash('sha256').update(content).digest('hex')

function place(t: TestContext): { to: string; files(): string[] } {
  const folder = mkdtempSync(join(tmpdir(), 'phi2-download-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return { to: join(folder, 'model.gguf'), files: () => readdirSync(folder).sort() }
}

/** Downloads in a process of its own, which tells its phase, when a third is there, and the result. */
function start(url: string, to: string): Program {
  return startProgram(`
    import { download } from './src/models/download.ts'
    const tuning = {
      pieceSize: 512 << 10,
      tick: 5,
      saveInterval: 20,
      lock: { heartbeat: 100, patience: 10_000, poll: 20 },
    }
    const told = new Set()
    const tell = (what) => told.has(what) || (told.add(what), console.log(what))
    ready()
    const { verified } = await download({
      url: ${JSON.stringify(url)},
      to: ${JSON.stringify(to)},
      sha256: '${sha256}',
      onProgress: ({ phase, done, total }) => {
        tell(phase)
        if (phase === 'downloading' && done > total / 3) tell('A THIRD')
      },
    }, tuning)
    console.log('verified', verified)`)
}

function expectFinished({ code, signal, stdout, stderr }: ChildResult): void {
  assert.equal(stderr, '')
  assert.equal(signal, null)
  assert.equal(code, 0)
  assert.match(stdout, /verified given/)
}

test('a download that is killed in the middle is resumed by the next process', async (t) => {
  await using server = await hostileServer(content, () => ({ delay: 20 }))
  const { to, files } = place(t)
  const first = start(server.url, to)
  await first.said('A THIRD')
  first.kill('SIGKILL')
  assert.equal((await first.ended).signal, 'SIGKILL')
  assert.deepEqual(files(), ['model.gguf.lock', 'model.gguf.partial', 'model.gguf.partial.json'])
  const before = server.bytesServed
  expectFinished(await start(server.url, to).ended)
  assert.ok((await readFile(to)).equals(content))
  assert.deepEqual(files(), ['model.gguf'])
  const again = server.bytesServed - before
  assert.ok(again < content.length * 0.8, `${again} bytes were sent again`)
})

/** The second half of the file is held back until `open` is called. */
function gate() {
  let open = () => {}
  const after = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, fault: ({ start = 0 }: Asked) => (start >= content.length / 2 ? { after } : {}) }
}

test('two processes fetch a file once, and both end with it', async (t) => {
  const { open, fault } = gate()
  await using server = await hostileServer(content, fault)
  const { to, files } = place(t)
  const both = [start(server.url, to), start(server.url, to)]
  await Promise.any(both.map((program) => program.said('waiting')))
  open()
  for (const { ended } of both) expectFinished(await ended)
  assert.ok((await readFile(to)).equals(content))
  assert.deepEqual(files(), ['model.gguf'])
  assert.ok(server.bytesServed < content.length * 1.1, `${server.bytesServed} bytes were sent`)
})

test('who waits takes over when the one that downloads is killed', async (t) => {
  const { open, fault } = gate()
  await using server = await hostileServer(content, fault)
  const { to, files } = place(t)
  const first = start(server.url, to)
  await first.said('A THIRD')
  const others = [start(server.url, to), start(server.url, to)]
  await Promise.all(others.map((program) => program.said('waiting')))
  first.kill('SIGKILL')
  await first.ended
  const before = server.bytesServed
  open()
  for (const { ended } of others) expectFinished(await ended)
  assert.ok((await readFile(to)).equals(content))
  assert.deepEqual(files(), ['model.gguf'])
  assert.ok(server.bytesServed - before < content.length * 0.8, 'what was there was not fetched again')
})
