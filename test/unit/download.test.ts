import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { Intervals } from '../../src/models/download/intervals.js'
import {
  type DownloadOptions,
  type DownloadProgress,
  type DownloadTuning,
  download,
} from '../../src/models/download.js'
import { type Fault, type HostileServer, honestEtag, hostileServer } from '../helpers/hostile-server.js'
import { noTmpfs, smallDisk } from '../helpers/tmpfs.js'

const content = bytesOf(1_000_000, 1)
const sha256 = sha(content)
/** Short waits, and pieces so small that a file has many. */
const quick: Partial<DownloadTuning> = {
  retry: { attempts: 4, firstDelay: 2, maxDelay: 10, maxRetryAfter: 20 },
  lock: { heartbeat: 20, patience: 30_000, poll: 10 },
  pieceSize: 100_000,
  tick: 5,
  saveInterval: 10,
}

function bytesOf(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let i = 0, x = seed; i < length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0
    bytes[i] = x >>> 24
  }
  return bytes
}

function sha(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'phi2-download-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

interface Pull {
  to: string
  run(options?: Partial<DownloadOptions>): ReturnType<typeof download>
  /** What lies beside the file, and the file. */
  files(): string[]
}

function pull(t: TestContext, server: HostileServer, path = '/model.gguf'): Pull {
  const place = folder(t)
  const to = join(place, 'model.gguf')
  return {
    to,
    run: (options = {}) => download({ url: server.url + path, to, ...options }, quick),
    files: () => readdirSync(place).sort(),
  }
}

async function expectWhole({ to, files }: Pull, bytes = content): Promise<void> {
  assert.ok((await readFile(to)).equals(bytes), 'the file has the right bytes')
  assert.deepEqual(files(), ['model.gguf'])
}

/** What the state file says that is there. */
function savedBytes(to: string): number {
  if (!existsSync(`${to}.partial.json`)) return 0
  const { intervals } = JSON.parse(readFileSync(`${to}.partial.json`, 'utf8'))
  return Intervals.parse(intervals, content.length).total
}

test('a file comes in parallel ranges and is hashed', async (t) => {
  await using server = await hostileServer(content)
  const job = pull(t, server, '/model.gguf?sig=secret')
  const seen: DownloadProgress[] = []
  const result = await job.run({ onProgress: (progress) => seen.push(progress) })
  assert.deepEqual(result, {
    path: job.to,
    bytes: content.length,
    sha256,
    verified: 'size',
    revision: undefined,
    url: `${server.url}/model.gguf`,
  })
  await expectWhole(job)
  assert.equal(server.requests.length, 11)
  assert.ok(server.requests.slice(1).every(({ headers }) => headers['if-range'] === honestEtag))
  assert.deepEqual([seen.at(-1)?.done, seen.at(-1)?.total], [content.length, content.length])
})

test('connections that are cut go on where they were', async (t) => {
  await using server = await hostileServer(content, ({ index, start = 0 }) =>
    index > 0 && start % 100_000 === 0 ? { cutAfter: 70_000 } : {},
  )
  const job = pull(t, server)
  assert.equal((await job.run({ sha256 })).verified, 'given')
  await expectWhole(job)
  assert.ok(server.bytesServed < content.length * 1.1, `${server.bytesServed} bytes were sent`)
})

test('a connection that stalls counts as cut', async (t) => {
  await using server = await hostileServer(content, ({ index }) => (index % 6 === 2 ? { stallAfter: 30_000 } : {}))
  const job = pull(t, server)
  await download({ url: server.url, to: job.to, sha256 }, { ...quick, stallTimeout: 300 })
  await expectWhole(job)
})

test('a server without ranges is read from the beginning after each cut', async (t) => {
  await using server = await hostileServer(content, ({ index }) => ({
    ignoreRange: true,
    ...(index < 3 ? { cutAfter: 300_000 * (index + 1) } : {}),
  }))
  const job = pull(t, server)
  await job.run({ sha256 })
  await expectWhole(job)
  assert.equal(server.requests.length, 4)
})

test('a server that always cuts at the same place is given up, and so is one that sends nothing', async (t) => {
  for (const fault of [{ ignoreRange: true, cutAfter: 300_000 }, { cutAfter: 0 }, { status: 500 }] satisfies Fault[]) {
    await using server = await hostileServer(content, () => fault)
    const job = pull(t, server)
    await assert.rejects(job.run(), { code: 'PHI2_DOWNLOAD_FAILED' })
    assert.ok(server.requests.length < 50, `${server.requests.length} requests`)
    assert.ok(!job.files().includes('model.gguf') && !job.files().includes('model.gguf.lock'))
  }
})

test('a file of unknown size is taken as it comes, and an empty file is a file', async (t) => {
  await using server = await hostileServer(content, () => ({ ignoreRange: true, chunked: true }))
  const job = pull(t, server)
  const result = await job.run()
  assert.deepEqual([result.verified, result.sha256, result.bytes], ['none', sha256, content.length])
  await expectWhole(job)

  await using nothing = await hostileServer(Buffer.alloc(0))
  const empty = pull(t, nothing)
  assert.equal((await empty.run({ bytes: 0 })).sha256, sha(Buffer.alloc(0)))
  await expectWhole(empty, Buffer.alloc(0))
})

test('a file that changes in the middle is begun anew, and never mixed', async (t) => {
  const other = bytesOf(content.length, 2)
  for (const ignoresIfRange of [false, true]) {
    await using server = await hostileServer(content, ({ index, headers }) => {
      if (ignoresIfRange) delete headers['if-range']
      return index > 5 ? { bytes: other, etag: '"two"' } : {}
    })
    const job = pull(t, server)
    assert.equal((await job.run()).sha256, sha(other))
    await expectWhole(job, other)
  }
})

test('a file that grows or shrinks in the middle is begun anew', async (t) => {
  for (const length of [500_000, 1_500_000]) {
    const other = bytesOf(length, 2)
    await using server = await hostileServer(content, ({ index }) => (index > 5 ? { bytes: other, etag: '"two"' } : {}))
    const job = pull(t, server)
    await job.run()
    await expectWhole(job, other)
  }
})

test('a file that changes all the time is taken in one go, or given up when that is cut', async (t) => {
  const changing = ({ index }: { index: number }) => ({ etag: `"${index}"`, bytes: bytesOf(content.length, index) })
  await using server = await hostileServer(content, changing)
  const job = pull(t, server)
  await job.run()
  await expectWhole(job, bytesOf(content.length, server.requests.length - 1))

  await using cutting = await hostileServer(content, (asked) => ({ ...changing(asked), cutAfter: 300_000 }))
  const other = pull(t, cutting)
  await assert.rejects(other.run(), { code: 'PHI2_DOWNLOAD_FAILED', message: /changed \d times/ })
  assert.deepEqual(other.files(), [])
})

test('the same file under another ETag goes on when the hub says that it is the same', async (t) => {
  await using storage = await hostileServer(content, ({ index }) => ({ etag: index > 5 ? '"two"' : '"one"' }))
  await using hub = await hostileServer(content, () => hubAnswer(storage))
  const job = pull(t, hub)
  const result = await job.run()
  assert.deepEqual([result.verified, result.revision], ['hub', 'abc123'])
  await expectWhole(job)
  // Begun anew it would be 21.
  assert.ok(storage.requests.length <= 17, `${storage.requests.length} requests`)
})

function hubAnswer(storage: HostileServer, said: Record<string, string> = {}): Fault {
  const headers = {
    location: `${storage.url}/blob?sig=secret`,
    'x-linked-size': `${content.length}`,
    'x-linked-etag': `"${sha256}"`,
    'x-repo-commit': 'abc123',
    ...said,
  }
  return { status: 302, headers }
}

test('wrong bytes are refused by the hub’s hash or the given one, and nothing of them stays', async (t) => {
  await using storage = await hostileServer(bytesOf(content.length, 3))
  await using hub = await hostileServer(content, () => hubAnswer(storage))
  for (const [server, options] of [
    [hub, {}],
    [storage, { sha256: sha256.toUpperCase() }],
  ] as const) {
    const job = pull(t, server)
    await assert.rejects(job.run(options), (error: Error & { code: string }) => {
      assert.equal(error.code, 'PHI2_CHECKSUM_MISMATCH')
      assert.ok(error.message.includes(sha256))
      assert.ok(!error.message.includes('secret'))
      return true
    })
    assert.deepEqual(job.files(), [])
  }
})

test('another size or hash than asked for is an error before any data', async (t) => {
  await using storage = await hostileServer(content)
  await using hub = await hostileServer(content, ({ path }) =>
    hubAnswer(storage, path === '/size' ? { 'x-linked-size': '7' } : {}),
  )
  const failed = async (options: Partial<DownloadOptions>, code: string, path?: string) => {
    const job = pull(t, hub, path)
    await assert.rejects(job.run(options), { code })
    assert.deepEqual(job.files(), [])
  }
  await failed({ bytes: 5 }, 'PHI2_DOWNLOAD_FAILED')
  await failed({ sha256: 'a'.repeat(64) }, 'PHI2_CHECKSUM_MISMATCH')
  await failed({}, 'PHI2_DOWNLOAD_FAILED', '/size')
  assert.ok(storage.bytesServed <= 10)
})

test('another range than asked for, and a compressed answer, are never written', async (t) => {
  await using shifted = await hostileServer(content, ({ index }) => (index > 0 ? { shiftRange: 10 } : {}))
  const job = pull(t, shifted)
  await assert.rejects(job.run(), { code: 'PHI2_DOWNLOAD_FAILED', message: /another range/ })
  assert.deepEqual(job.files(), [])
  await using zipped = await hostileServer(content, () => ({ headers: { 'content-encoding': 'gzip' } }))
  await assert.rejects(pull(t, zipped).run(), { code: 'PHI2_DOWNLOAD_FAILED', message: /compressed/ })
})

test('a server that ignores ranges every now and then, or from now on, is no trouble', async (t) => {
  for (const faulty of [(index: number) => index % 3 === 2, (index: number) => index > 4]) {
    await using server = await hostileServer(content, ({ index }) => ({ ignoreRange: faulty(index) }))
    const job = pull(t, server)
    await job.run({ sha256 })
    await expectWhole(job)
  }
})

test('what was hashed is never written over: wrong bytes in a second answer do not get the name', async (t) => {
  const wrong = Buffer.concat([Buffer.alloc(500_000), content.subarray(500_000)])
  for (const etag of [honestEtag, 'W/"one"', null]) {
    await using server = await hostileServer(content, ({ index }) => {
      const fault = { etag, ignoreRange: true }
      // Time for the hash to come as far as the bytes.
      return index === 0 ? { ...fault, cutAfter: 600_000, delay: 10 } : { ...fault, bytes: wrong, after: sleep(200) }
    })
    const job = pull(t, server)
    const right = await job.run({ sha256 }).then(
      () => true,
      (error) => {
        assert.equal(error.code, 'PHI2_CHECKSUM_MISMATCH')
        return false
      },
    )
    assert.equal(right, etag === honestEtag)
    if (right) await expectWhole(job)
    else assert.deepEqual(job.files(), [])
  }
})

test('of a file that nothing identifies, a second answer is taken without any of the first', async (t) => {
  const now = new Date().toUTCString()
  const shorter = bytesOf(500_000, 2)
  for (const said of [
    { etag: 'W/"one"', chunked: true },
    { etag: null, chunked: true },
    { etag: honestEtag, chunked: true },
    // As long as the second lasts, another version can have the same date.
    { etag: null, headers: { 'last-modified': now, date: now } },
  ] satisfies Fault[]) {
    const bytes = 'headers' in said ? bytesOf(content.length, 2) : shorter
    await using server = await hostileServer(content, ({ index }) =>
      index < 3 ? { ...said, ignoreRange: said.chunked ?? false, cutAfter: 700_000 } : { ...said, bytes },
    )
    const job = pull(t, server)
    assert.equal((await job.run()).sha256, sha(bytes), JSON.stringify(said))
    await expectWhole(job, bytes)
  }
})

test('a date of a second that is over identifies a file', async (t) => {
  const date = new Date(Date.now() - 5000).toUTCString()
  await using server = await hostileServer(content, ({ index, headers }) => {
    // As a server that knows no ETag compares it.
    if (headers['if-range'] === date) delete headers['if-range']
    return { etag: null, headers: { 'last-modified': date }, ...(index === 2 ? { cutAfter: 50_000 } : {}) }
  })
  const job = pull(t, server)
  await job.run()
  await expectWhole(job)
  assert.ok(server.requests.length > 10)
})

test('a part that comes compressed, or without the ETag that the file has, is not written', async (t) => {
  await using zipped = await hostileServer(content, ({ index }) =>
    index > 0 ? { headers: { 'content-encoding': 'gzip' } } : {},
  )
  await assert.rejects(pull(t, zipped).run(), { code: 'PHI2_DOWNLOAD_FAILED', message: /compressed/ })
  const other = bytesOf(content.length, 2)
  await using server = await hostileServer(content, ({ index, headers, start }) => {
    delete headers['if-range']
    return index > 3 && start !== undefined ? { bytes: other, etag: null } : {}
  })
  const job = pull(t, server)
  await job.run()
  await expectWhole(job)
})

test('without any validator a file is not put together from parts', async (t) => {
  await using server = await hostileServer(content, ({ index }) => ({
    etag: null,
    ...(index === 1 ? { cutAfter: 500_000 } : {}),
  }))
  const job = pull(t, server)
  await job.run()
  await expectWhole(job)
  assert.equal(server.requests.filter(({ start }) => (start ?? 0) > 0).length, 0)
})

test('429 and 503 are waited out as Retry-After asks, and a signed URL whose time is over is fetched anew', async (t) => {
  let signed = 0
  await using storage = await hostileServer(content, ({ path, index, start = 0 }) => {
    if (path !== `/blob?sig=${signed}` || (start > 0 && index % 5 === 4)) return { status: 403 }
    if (index % 4 === 1) return { status: 429, headers: { 'retry-after': '1' } }
    return index % 4 === 2 ? { status: 503, headers: { 'retry-after': new Date().toUTCString() } } : {}
  })
  await using hub = await hostileServer(content, ({ index }) =>
    index === 0
      ? { status: 429, headers: { 'retry-after': '1' } }
      : hubAnswer(storage, { location: `${storage.url}/blob?sig=${++signed}` }),
  )
  const job = pull(t, hub)
  const headers = { authorization: 'Bearer hf_secret' }
  // By chance many of the faults come in a row.
  const patient = { ...quick, retry: { ...quick.retry!, attempts: 30 } }
  const result = await download({ url: `${hub.url}/model.gguf`, to: job.to, headers }, patient)
  assert.equal(result.verified, 'hub')
  await expectWhole(job)
  assert.ok(hub.requests.length > 2)
  assert.ok(hub.requests.every(({ headers }) => headers.authorization === 'Bearer hf_secret'))
  assert.ok(storage.requests.every(({ headers }) => headers.authorization === undefined))
})

test('a server that gives one connection only is served by one', async (t) => {
  let open = 0
  await using server = await hostileServer(content, ({ start }) => {
    if (start === undefined) return {}
    if (open > 0) return { status: 429 }
    open++
    setTimeout(() => open--, 5)
    return {}
  })
  const job = pull(t, server)
  await job.run({ sha256 })
  await expectWhole(job)
})

test('while a server is given time, that is told; in the end, how much is there', async (t) => {
  await using server = await hostileServer(content, ({ index }) => (index > 4 ? { status: 503 } : {}))
  const job = pull(t, server)
  const phases = new Set<string>()
  await assert.rejects(job.run({ onProgress: ({ phase }) => phases.add(phase) }), {
    code: 'PHI2_DOWNLOAD_FAILED',
    message: /answered 503.* [1-4]00000 of 1000000 bytes are there: start it again to go on\./,
  })
  assert.deepEqual([...phases].sort(), ['downloading', 'retrying'])
  assert.deepEqual(job.files(), ['model.gguf.partial', 'model.gguf.partial.json'])
})

test('401, 403 and 404 are told at once', async (t) => {
  for (const [status, code] of [
    [401, 'PHI2_ACCESS_DENIED'],
    [403, 'PHI2_ACCESS_DENIED'],
    [404, 'PHI2_DOWNLOAD_FAILED'],
  ] as const) {
    await using server = await hostileServer(content, () => ({ status }))
    const job = pull(t, server)
    await assert.rejects(job.run(), { code })
    assert.equal(server.requests.length, 1)
    assert.deepEqual(job.files(), [])
  }
})

test('a server that is not there is told at once', async (t) => {
  const server = await hostileServer(content)
  await server[Symbol.asyncDispose]()
  await assert.rejects(pull(t, server).run(), { code: 'PHI2_DOWNLOAD_FAILED', message: /refused/ })
})

test('an abort rejects with its reason and leaves what came for the next time', async (t) => {
  await using server = await hostileServer(content, () => ({ delay: 2 }))
  const job = pull(t, server)
  const controller = new AbortController()
  const reason = new Error('enough')
  const onProgress = ({ done }: DownloadProgress) => {
    if (done > 400_000) controller.abort(reason)
  }
  await assert.rejects(job.run({ signal: controller.signal, onProgress }), reason)
  assert.deepEqual(job.files(), ['model.gguf.partial', 'model.gguf.partial.json'])
  await assert.rejects(job.run({ signal: controller.signal }), reason)
  const [before, saved] = [server.bytesServed, savedBytes(job.to)]
  assert.ok(saved > 400_000)
  await job.run({ sha256 })
  await expectWhole(job)
  assert.equal(server.bytesServed - before, content.length - saved + 1)
})

test('what was there already does not count as speed', async (t) => {
  await using server = await hostileServer(content, () => ({ delay: 30 }))
  const job = pull(t, server)
  const state = { version: 1, name: `${server.url}/model.gguf`, size: content.length, validator: { etag: honestEtag } }
  await writeFile(`${job.to}.partial`, content)
  await writeFile(`${job.to}.partial.json`, JSON.stringify({ ...state, intervals: [[0, 999_000]] }))
  const speeds: number[] = []
  await job.run({ onProgress: ({ phase, bytesPerSecond }) => phase === 'downloading' && speeds.push(bytesPerSecond) })
  assert.ok(Math.max(...speeds) < 1_000_000, `${Math.max(...speeds)} bytes per second`)
  await expectWhole(job)
})

test('an error of onProgress ends the download and is the caller’s', async (t) => {
  await using server = await hostileServer(content, () => ({ delay: 2 }))
  const mine = new Error('mine')
  const onProgress = () => {
    throw mine
  }
  await assert.rejects(pull(t, server).run({ onProgress }), mine)
})

test('a partial file of another version, or with a damaged state, is not believed', async (t) => {
  await using server = await hostileServer(content)
  const state = { version: 1, name: `${server.url}/model.gguf`, size: content.length, validator: { etag: honestEtag } }
  for (const odd of [
    JSON.stringify({ ...state, validator: { etag: '"old"' }, intervals: [[0, 500_000]] }),
    JSON.stringify({ ...state, name: 'http://other/model.gguf', intervals: [[0, 500_000]] }),
    JSON.stringify({ ...state, intervals: [[0, content.length + 1]] }),
    JSON.stringify({ ...state, version: 2, intervals: [[0, 500_000]] }),
    '{"version":1',
    'null',
  ]) {
    const job = pull(t, server)
    await writeFile(`${job.to}.partial`, Buffer.alloc(content.length))
    await writeFile(`${job.to}.partial.json`, odd)
    await job.run()
    await expectWhole(job)
  }
})

test('a file that is there is returned, and read only when that is asked for', async (t) => {
  await using server = await hostileServer(content)
  const job = pull(t, server)
  await writeFile(job.to, bytesOf(content.length, 5))
  const there = await job.run({ bytes: content.length, sha256 })
  assert.deepEqual([there.verified, there.sha256, server.requests.length], ['size', undefined, 0])
  assert.equal((await job.run()).verified, 'size')
  assert.equal(server.requests.length, 1)
  assert.equal((await job.run({ bytes: content.length, sha256, verify: true })).verified, 'given')
  await expectWhole(job)
  const asked = server.requests.length
  assert.equal((await job.run({ bytes: content.length, sha256, verify: true })).sha256, sha256)
  assert.equal(server.requests.length, asked)
  await writeFile(job.to, 'short')
  await job.run({ sha256 })
  await expectWhole(job)
})

test('two calls in one process fetch a file once', async (t) => {
  await using server = await hostileServer(content, () => ({ delay: 2 }))
  const job = pull(t, server)
  const phases = new Set<string>()
  const onProgress = ({ phase }: DownloadProgress) => phases.add(phase)
  const results = await Promise.all([job.run({ sha256, onProgress }), job.run({ sha256, onProgress })])
  assert.deepEqual(
    results.map(({ verified }) => verified),
    ['given', 'given'],
  )
  await expectWhole(job)
  assert.ok(server.bytesServed < content.length * 1.1, `${server.bytesServed} bytes were sent`)
  assert.ok(phases.has('waiting'))
})

test('who lost the lock waits for the other one and takes the result', async (t) => {
  await using server = await hostileServer(content, () => ({ delay: 20 }))
  const job = pull(t, server)
  let other: Promise<unknown> | undefined
  const phases: string[] = []
  const onProgress = ({ phase, done }: DownloadProgress) => {
    if (phases.at(-1) !== phase) phases.push(phase)
    if (other || done < 200_000) return
    rmSync(`${job.to}.lock`)
    other = job.run({ sha256 })
  }
  assert.equal((await job.run({ sha256, onProgress })).verified, 'given')
  await other
  assert.ok(phases.includes('waiting'), phases.join())
  await expectWhole(job)
})

test('who lost the lock without noticing touches nothing of the one who has it', async (t) => {
  let open = () => {}
  const after = new Promise<void>((resolve) => {
    open = resolve
  })
  await using server = await hostileServer(content, ({ start = 0 }) => (start < 500_000 ? {} : { after }))
  const job = pull(t, server)
  const other = { token: '01234567-0123-0123-0123-012345678901', pid: process.pid, machine: 'another' }
  let taken = false
  const onProgress = ({ done }: DownloadProgress) => {
    if (taken || done < 200_000) return
    taken = true
    writeFileSync(`${job.to}.lock`, JSON.stringify(other))
    rmSync(`${job.to}.partial`)
    writeFileSync(`${job.to}.partial`, 'of the other one')
    open()
  }
  const lock = { heartbeat: 1e6, patience: 1e6, poll: 10 }
  const controller = new AbortController()
  const running = download(
    {
      ...{ url: server.url, to: job.to, sha256, signal: controller.signal },
      onProgress(progress) {
        onProgress(progress)
        if (progress.phase === 'waiting') controller.abort()
      },
    },
    { ...quick, lock, saveInterval: 1e6 },
  )
  await assert.rejects(running, { name: 'AbortError' })
  assert.equal(readFileSync(`${job.to}.partial`, 'utf8'), 'of the other one')
  assert.deepEqual(job.files(), ['model.gguf.lock', 'model.gguf.partial', 'model.gguf.partial.json'])
})

test('a file that cannot get its name stays beside it for the next time', async (t) => {
  await using server = await hostileServer(content, () => ({ delay: 10 }))
  const job = pull(t, server)
  const onProgress = () => {
    if (!existsSync(job.to)) mkdirSync(job.to)
  }
  await assert.rejects(job.run({ onProgress, sha256 }), { code: 'PHI2_IO' })
  rmdirSync(job.to)
  const [before, saved] = [server.bytesServed, savedBytes(job.to)]
  assert.ok(saved > 0)
  assert.equal((await job.run({ sha256 })).verified, 'given')
  assert.equal(server.bytesServed - before, content.length - saved + 1)
  await expectWhole(job)
})

test('a state left beside a finished file is cleared away', async (t) => {
  await using server = await hostileServer(content)
  const job = pull(t, server)
  await writeFile(job.to, content)
  await writeFile(`${job.to}.partial.json`, '{}')
  await job.run()
  await expectWhole(job)
})

test('many connections are no cause for warnings', async (t) => {
  await using server = await hostileServer(content)
  const warnings: Error[] = []
  const collect = (warning: Error) => warnings.push(warning)
  process.on('warning', collect)
  const controller = new AbortController()
  const job = pull(t, server)
  await download(
    { url: server.url, to: job.to, connections: 16, signal: controller.signal },
    { ...quick, pieceSize: 9000 },
  )
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', collect)
  assert.deepEqual(warnings, [])
  await expectWhole(job)
})

test('a file that cannot fit is refused before it comes, with both figures', { skip: noTmpfs }, async (t) => {
  await using server = await hostileServer(content)
  const disk = smallDisk(t, 900 << 10)
  await assert.rejects(download({ url: server.url, to: join(disk, 'model.gguf') }, quick), {
    code: 'PHI2_NO_SPACE',
    message: /1000000 bytes.*\d+ bytes\) are free/,
  })
  assert.deepEqual(readdirSync(disk), [])
  assert.ok(server.bytesServed <= 1)
})

test('a disk that fills up in the middle keeps what can be resumed', { skip: noTmpfs }, async (t) => {
  for (const ignoreRange of [false, true]) {
    await using server = await hostileServer(content, () => ({ ignoreRange, delay: 30 }))
    const disk = smallDisk(t, 2 << 20)
    const to = join(disk, 'model.gguf')
    let filled = false
    const onProgress = () => {
      if (filled || savedBytes(to) < 300_000) return
      filled = true
      try {
        writeFileSync(join(disk, 'filler'), Buffer.alloc(2 << 20))
      } catch {
        // As much as fits.
      }
    }
    await assert.rejects(download({ url: server.url, to, onProgress }, quick), {
      code: 'PHI2_NO_SPACE',
      message: /is full: \d+ bytes of model\.gguf are missing and \d+ bytes are free/,
    })
    rmSync(join(disk, 'filler'))
    assert.deepEqual(readdirSync(disk), ignoreRange ? [] : ['model.gguf.partial', 'model.gguf.partial.json'])
    const [before, saved] = [server.bytesServed, savedBytes(to)]
    assert.equal((await download({ url: server.url, to, sha256 }, quick)).verified, 'given')
    if (!ignoreRange) assert.equal(server.bytesServed - before, content.length - saved + 1)
  }
})

test('wrong options are errors before anything is asked', async (t) => {
  await using server = await hostileServer(content)
  const job = pull(t, server)
  for (const odd of [
    { url: '' },
    { url: 'model.gguf' },
    { to: '' },
    { bytes: -1 },
    { bytes: 1.5 },
    { bytes: Number.NaN },
    { sha256: 'abc' },
    { connections: 0 },
    { connections: 17 },
  ]) {
    await assert.rejects(job.run(odd), { code: 'PHI2_INVALID_OPTION' }, JSON.stringify(odd))
  }
  assert.equal(server.requests.length, 0)
  await assert.rejects(job.run({ to: tmpdir() }), { code: 'PHI2_IO' })
})

test('wherever connections are cut and whichever ranges are ignored, the file is right', async (t) => {
  const fault = fc.record(
    { cutAfter: fc.nat(120_000), ignoreRange: fc.constant(true), status: fc.constantFrom(429, 500, 503) },
    { requiredKeys: [] },
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof({ weight: 2, arbitrary: fc.constant({}) }, fault), { minLength: 1, maxLength: 12 }),
      fc.integer({ min: 1, max: 300_000 }),
      fc.integer({ min: 1, max: 6 }),
      async (faults, size, connections) => {
        const bytes = content.subarray(0, size)
        // As often as faults come, in the end the server is honest.
        await using server = await hostileServer(bytes, ({ index }) => faults[index] ?? {})
        const job = pull(t, server)
        const tuning = {
          ...quick,
          pieceSize: 40_000,
          retry: { ...quick.retry!, attempts: 12, firstDelay: 1, maxDelay: 2 },
        }
        const result = await download({ url: server.url, to: job.to, sha256: sha(bytes), connections }, tuning)
        assert.equal(result.verified, 'given')
        await expectWhole(job, bytes)
      },
    ),
    { numRuns: 40 },
  )
})

test('whenever the file changes, what gets the name is one version of it from beginning to end', async (t) => {
  const versions = [1, 2, 3].map((seed) => bytesOf(120_000, seed))
  const step = fc.record({
    version: fc.nat(2),
    validator: fc.constantFrom('etag', 'weak', 'date', 'none'),
    ignoreRange: fc.boolean(),
    ignoreIfRange: fc.boolean(),
    chunked: fc.boolean(),
    cutAfter: fc.option(fc.nat(100_000), { nil: undefined }),
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 14 }),
      fc.integer({ min: 1, max: 4 }),
      async (steps, connections) => {
        let asked = 0
        await using server = await hostileServer(versions[0]!, ({ headers }) => {
          // In the end the file stays as it is.
          const { validator, version, ignoreIfRange, cutAfter, ...given } = steps[asked++] ?? {
            ...{ ...steps.at(-1)!, ignoreRange: false, ignoreIfRange: false, chunked: false, cutAfter: undefined },
          }
          const date = new Date(Date.UTC(2024, 0, 1 + version)).toUTCString()
          // Who neither looks at the condition nor names the version cannot be found out.
          if ((ignoreIfRange && validator !== 'none') || headers['if-range'] === date) delete headers['if-range']
          return {
            ...given,
            ...(cutAfter !== undefined && { cutAfter }),
            bytes: versions[version]!,
            etag: { etag: `"${version}"`, weak: 'W/"any"', date: null, none: null }[validator],
            headers: validator === 'date' ? { 'last-modified': date } : {},
          }
        })
        const job = pull(t, server)
        const tuning = {
          ...quick,
          pieceSize: 25_000,
          retry: { ...quick.retry!, attempts: 20, firstDelay: 1, maxDelay: 2 },
        }
        try {
          await download({ url: server.url, to: job.to, connections }, tuning)
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'PHI2_DOWNLOAD_FAILED')
          assert.ok(!job.files().includes('model.gguf'))
          return
        }
        const got = await readFile(job.to)
        assert.ok(
          versions.some((bytes) => bytes.equals(got)),
          `${got.length} bytes of several versions`,
        )
      },
    ),
    { numRuns: 30 },
  )
})
