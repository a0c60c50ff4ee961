import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { before, type TestContext, test } from 'node:test'
import { inspect } from '../../gguf/index.js'
import { tinyModelPath } from '../../src/models/resolve.js'
import { type Asked, type Fault, hostileServer } from '../helpers/hostile-server.js'

/** 43 MB, 1.8 MB of which are its header, as in a real Phi-2. */
let model: Buffer
before(async () => {
  model = await readFile(tinyModelPath())
})

const MEGABYTE = 2 ** 20
/** What connections have taken without its being read. */
const IN_FLIGHT = 6 * MEGABYTE

/** Gives the process an environment for one test. */
function setEnvironment(t: TestContext, given: Record<string, string>): void {
  const saved = { ...process.env }
  Object.assign(process.env, given)
  t.after(() => {
    process.env = saved
  })
}

test('of a remote file the header alone is read, by ranges', async () => {
  await using server = await hostileServer(model)
  const remote = await inspect({ source: `${server.url}/phi-2.gguf` })
  const local = await inspect({ source: 'tiny' })
  assert.deepEqual({ ...remote, file: undefined }, { ...local, file: undefined })
  assert.deepEqual(remote.file, { ...local.file, remote: true, source: `${server.url}/phi-2.gguf` })
  assert.deepEqual(
    server.requests.map(({ headers }) => headers.range),
    ['bytes=0-524287', 'bytes=524288-1048575', 'bytes=1048576-2097151'],
  )
  assert.equal(server.bytesServed, 2 * MEGABYTE)
})

test('a server that ignores ranges is cut as soon as the header is there', async () => {
  for (const chunked of [false, true]) {
    await using server = await hostileServer(model, () => ({ ignoreRange: true, chunked }))
    const { file, notes, shape } = await inspect({ source: `${server.url}/phi-2.gguf` })
    assert.equal(shape?.layers, 5)
    assert.equal(file.bytes, chunked ? undefined : model.length)
    assert.equal(
      notes.some(({ code }) => code === 'size-unknown'),
      chunked,
    )
    assert.ok(server.bytesServed < 4 * MEGABYTE + server.requests.length * IN_FLIGHT, `${server.bytesServed} bytes`)
  }
})

test('the token goes to the hub alone, not to where it redirects, and into no message', async (t) => {
  await using storage = await hostileServer(model)
  await using hub = await hostileServer(model, ({ path }) =>
    path.includes('gone')
      ? { status: 404 }
      : { status: 302, headers: { location: `${storage.url}/blob?Signature=s3cret` } },
  )
  setEnvironment(t, { HF_ENDPOINT: hub.url, HF_TOKEN: 'hf_s3cret' })
  const found = await inspect({ source: 'hf:org/phi-2-GGUF/phi-2.gguf' })
  assert.equal(found.file.source, 'hf:org/phi-2-GGUF/phi-2.gguf')
  assert.equal(hub.requests.length, 1, 'the further ranges go where the first redirect ended')
  assert.equal(hub.requests[0]!.headers.authorization, 'Bearer hf_s3cret')
  assert.equal(storage.requests.length, 3)
  for (const { headers } of storage.requests) assert.equal(headers.authorization, undefined)
  assert.doesNotMatch(JSON.stringify(found), /s3cret/)

  await inspect({ source: `${storage.url}/other.gguf?token=s3cret` })
  assert.equal(storage.requests.at(-1)!.headers.authorization, undefined, 'another server gets no token')

  await assert.rejects(inspect({ source: 'hf:org/phi-2-GGUF/gone.gguf' }), (error: Error) => {
    assert.doesNotMatch(`${error.message}${error.stack}`, /s3cret/)
    return true
  })
})

test('an answer other than the file is an error that says which', async () => {
  const cases: [fault: Fault, code: string, message: RegExp][] = [
    [{ status: 401 }, 'PHI2_ACCESS_DENIED', /401.*HF_TOKEN/s],
    [{ status: 403 }, 'PHI2_ACCESS_DENIED', /403/],
    [{ status: 404 }, 'PHI2_DOWNLOAD_FAILED', /404.*no such file/s],
    [{ status: 429, headers: { 'retry-after': '1' } }, 'PHI2_DOWNLOAD_FAILED', /429.*try again later/s],
    [{ status: 503 }, 'PHI2_DOWNLOAD_FAILED', /503.*try again later/s],
    [{ bytes: Buffer.from('<html>Please log in</html>') }, 'PHI2_INVALID_GGUF', /a web page/],
    [{ bytes: Buffer.alloc(0) }, 'PHI2_INVALID_GGUF', /after 0 bytes/],
    [{ cutAfter: 1000 }, 'PHI2_DOWNLOAD_FAILED', /cut/],
    [{ shiftRange: 100 }, 'PHI2_DOWNLOAD_FAILED', /another range/],
  ]
  for (const [fault, code, message] of cases) {
    await using server = await hostileServer(model, () => fault)
    await assert.rejects(inspect({ source: `${server.url}/phi-2.gguf` }), { code, message })
  }
})

test('a file that changes between two ranges is not mixed', async () => {
  await using server = await hostileServer(model, ({ index }: Asked) => ({ etag: `"${index}"` }))
  await assert.rejects(inspect({ source: `${server.url}/phi-2.gguf` }), {
    code: 'PHI2_DOWNLOAD_FAILED',
    message: /changed while it was read/,
  })
})

test('a remote file that is cut is described with what is missing, or refused when its header is cut', async () => {
  const answer: Fault = { bytes: model.subarray(0, 5 * MEGABYTE) }
  await using server = await hostileServer(model, () => answer)
  const { file, warnings } = await inspect({ source: `${server.url}/phi-2.gguf` })
  assert.equal(file.bytes, 5 * MEGABYTE)
  assert.ok(file.missingBytes > 30 * MEGABYTE)
  assert.equal(warnings[0]?.code, 'truncated')
  answer.bytes = model.subarray(0, MEGABYTE)
  await assert.rejects(inspect({ source: `${server.url}/phi-2.gguf` }), { code: 'PHI2_INVALID_GGUF' })
})

test('a server that gives a few bytes at a time is given up', async () => {
  const ten = model.subarray(0, 10)
  await using server = await hostileServer(model, () => ({
    bytes: ten,
    ignoreRange: true,
    status: 206,
    headers: { 'content-range': `bytes 0-9/${model.length}` },
  }))
  await assert.rejects(inspect({ source: `${server.url}/phi-2.gguf` }), {
    code: 'PHI2_DOWNLOAD_FAILED',
    message: /gave only 0 of the 524288 bytes/,
  })
  assert.equal(server.requests.length, 1)
})

test('an abort ends a stalled request with its reason', async () => {
  await using server = await hostileServer(model, () => ({ stallAfter: 1000 }))
  const controller = new AbortController()
  const promise = inspect({ source: `${server.url}/phi-2.gguf`, signal: controller.signal })
  setTimeout(() => controller.abort(new Error('enough')), 100)
  await assert.rejects(promise, /enough/)
})
