import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { readProgress } from '../../src/models/download/partial-file.js'
import { type ChildResult, type Program, startProgram } from '../helpers/child.js'
import { type Asked, hostileServer } from '../helpers/hostile-server.js'

const content = randomBytes(4 << 20)
const sha256 = createHash('sha256').update(content).digest('hex')

function place(t: TestContext): { to: string; files(): string[] } {
  const folder = mkdtempSync(join(tmpdir(), 'phi2-download-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return { to: join(folder, 'model.gguf'), files: () => readdirSync(folder).sort() }
}

/** Downloads in a process of its own, which tells its phases and the result. */
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
    ready()
    const { verified } = await download({
      url: ${JSON.stringify(url)},
      to: ${JSON.stringify(to)},
      sha256: '${sha256}',
      onProgress: ({ phase }) => told.has(phase) || (told.add(phase), console.log(phase)),
    }, tuning)
    console.log('verified', verified)`)
}

function expectFinished({ code, signal, stdout, stderr }: ChildResult): void {
  assert.equal(stderr, '')
  assert.equal(signal, null)
  assert.equal(code, 0)
  assert.match(stdout, /verified given/)
}

/** The second half of the file is held back until `open` is called. */
function gate() {
  let open = () => {}
  const after = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, fault: ({ start = 0 }: Asked) => (start >= content.length / 2 ? { after } : {}) }
}

/** Waits until the state file says that the first half is there. */
async function firstHalf(to: string): Promise<void> {
  while (((await readProgress(to))?.done ?? 0) < content.length / 2) await sleep(10)
}

test('a download that is killed in the middle is resumed by the next process', async (t) => {
  const { open, fault } = gate()
  await using server = await hostileServer(content, fault)
  const { to, files } = place(t)
  const first = start(server.url, to)
  await firstHalf(to)
  first.kill('SIGKILL')
  assert.equal((await first.ended).signal, 'SIGKILL')
  assert.deepEqual(files(), ['model.gguf.lock', 'model.gguf.partial', 'model.gguf.partial.json'])
  const before = server.bytesServed
  open()
  expectFinished(await start(server.url, to).ended)
  assert.ok((await readFile(to)).equals(content))
  assert.deepEqual(files(), ['model.gguf'])
  assert.equal(server.bytesServed - before, content.length / 2 + 1)
})

test('a server that closes each connection behind its answer, while the disk is slow, does not end the process', async (t) => {
  await using server = await hostileServer(content, () => ({ headers: { connection: 'close' } }))
  const { to } = place(t)
  // A reader that is slower than the network.
  const slow = `
    import { openUrl } from './src/models/http.ts'
    import { setTimeout as sleep } from 'node:timers/promises'
    ready()
    for (let i = 0; i < 20; i++) {
      const { body } = await openUrl(${JSON.stringify(server.url)})
      let bytes = 0
      for await (const chunk of body) {
        bytes += chunk.length
        await sleep(1)
      }
      console.log('bytes', bytes)
    }`
  const { code, stderr, stdout } = await startProgram(slow).ended
  assert.deepEqual([code, stderr], [0, ''])
  assert.equal(stdout.match(/bytes 4194304/g)?.length, 20)
  expectFinished(await start(server.url, to).ended)
})

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
  assert.ok(server.bytesServed <= content.length + 2, `${server.bytesServed} bytes were sent`)
})

test('who waits takes over when the one that downloads is killed', async (t) => {
  const { open, fault } = gate()
  await using server = await hostileServer(content, fault)
  const { to, files } = place(t)
  const first = start(server.url, to)
  await firstHalf(to)
  const others = [start(server.url, to), start(server.url, to)]
  await Promise.all(others.map((program) => program.said('waiting')))
  first.kill('SIGKILL')
  await first.ended
  const before = server.bytesServed
  open()
  for (const { ended } of others) expectFinished(await ended)
  assert.ok((await readFile(to)).equals(content))
  assert.deepEqual(files(), ['model.gguf'])
  // One byte more: how each of them finds out what the server has.
  assert.ok(server.bytesServed - before <= content.length / 2 + 2, `${server.bytesServed - before} bytes were sent`)
})
