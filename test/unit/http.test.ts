import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { Phi2Error } from '../../src/errors.js'
import { openUrl, readRange, shownUrl } from '../../src/models/http.js'
import {
  linkedSha256,
  parseContentRange,
  parseRetryAfter,
  parseSize,
  parseUnsatisfiedRange,
} from '../../src/models/http-headers.js'
import { packageRoot, packageVersion } from '../../src/package-root.js'
import { runProgram } from '../helpers/child.js'
import { forwardProxy, hostileServer } from '../helpers/hostile-server.js'

const content = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i * 7 + (i >> 8)))
const sha256 = 'a'.repeat(64)

async function read(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of body) parts.push(part)
  return Buffer.concat(parts)
}

test('Content-Range is read, and ranges that no file can have are not', () => {
  assert.deepEqual(parseContentRange('bytes 0-99/1234'), { start: 0, end: 100, size: 1234 })
  assert.deepEqual(parseContentRange('bytes 5-5/*'), { start: 5, end: 6, size: undefined })
  for (const odd of [
    undefined,
    '',
    'bytes */10',
    'bytes 5-4/10',
    'bytes 0-10/10',
    'items 0-1/2',
    'bytes 0-1/2, 3-4/5',
  ]) {
    assert.equal(parseContentRange(odd), undefined, odd)
  }
  assert.equal(parseUnsatisfiedRange('bytes */10'), 10)
  assert.equal(parseUnsatisfiedRange('bytes 0-1/10'), undefined)
})

test('Retry-After is seconds or a date, and never negative', () => {
  const now = Date.parse('Wed, 21 Oct 2026 07:28:00 GMT')
  assert.equal(parseRetryAfter('120', now), 120_000)
  assert.equal(parseRetryAfter('Wed, 21 Oct 2026 07:28:30 GMT', now), 30_000)
  assert.equal(parseRetryAfter('Wed, 21 Oct 2020 07:28:30 GMT', now), 0)
  for (const odd of [undefined, '', 'soon', '-1.5x']) assert.equal(parseRetryAfter(odd, now), undefined, odd)
})

test('x-linked-etag is a sha256 when it has 64 hex digits, quoted or not', () => {
  for (const etag of [sha256, `"${sha256}"`, `W/"${sha256.toUpperCase()}"`]) {
    assert.equal(linkedSha256({ 'x-linked-etag': etag }), sha256)
  }
  assert.equal(linkedSha256({ 'x-linked-etag': `"${'a'.repeat(40)}"` }), undefined)
  assert.equal(linkedSha256({ etag: sha256 }), undefined)
  assert.equal(parseSize('12'), 12)
  for (const odd of [undefined, '', '-1', '1e3', '99999999999999999']) assert.equal(parseSize(odd), undefined, odd)
})

test('a redirect keeps what the hub says, and loses the token when the origin changes', async () => {
  await using storage = await hostileServer(content, () => ({ headers: { 'x-linked-size': '1' } }))
  await using hub = await hostileServer(content, ({ path }) =>
    path.startsWith('/old')
      ? { status: 307, headers: { location: '/new?x=1' } }
      : {
          status: 302,
          headers: {
            location: `${storage.url}/blob?Signature=secret#part`,
            'x-linked-size': `${content.length}`,
            'x-linked-etag': `"${sha256}"`,
            'x-repo-commit': 'abc',
          },
        },
  )
  const answer = await openUrl(`${hub.url}/old`, {
    headers: { Authorization: 'Bearer hf_secret', cookie: 'c', 'x-a': 'b' },
  })
  assert.deepEqual(await read(answer.body), content)
  assert.equal(answer.url, `${storage.url}/blob?Signature=secret`)
  assert.equal(answer.headers['x-linked-size'], `${content.length}`)
  assert.equal(linkedSha256(answer.headers), sha256)
  assert.equal(answer.headers['x-repo-commit'], 'abc')
  assert.deepEqual(
    hub.requests.map(({ path, headers }) => [path, headers.authorization]),
    [
      ['/old', 'Bearer hf_secret'],
      ['/new?x=1', 'Bearer hf_secret'],
    ],
  )
  const [asked] = storage.requests
  assert.deepEqual(
    [asked?.headers.authorization, asked?.headers.cookie, asked?.headers['x-a']],
    [undefined, undefined, 'b'],
  )
  assert.equal(asked?.headers['user-agent'], `phi2/${packageVersion()}`)
  assert.equal(answer.requestHeaders.authorization, undefined)
})

test('redirects that go round, or nowhere, or elsewhere than http, are errors', async () => {
  const places: Record<string, string | undefined> = {
    '/round': '/round',
    '/file': 'file:///etc/passwd',
    '/odd': 'http://[',
  }
  await using server = await hostileServer(content, ({ path }) => {
    const location = places[path]
    return { status: 302, ...(location ? { headers: { location } } : {}) }
  })
  const failed = (message: RegExp) => ({ code: 'PHI2_DOWNLOAD_FAILED', message })
  await assert.rejects(openUrl(`${server.url}/round`, { maxRedirects: 3 }), failed(/more than 3 times/))
  assert.equal(server.requests.length, 4)
  await assert.rejects(openUrl(`${server.url}/file`), failed(/redirects to file:/))
  await assert.rejects(openUrl(`${server.url}/odd`), failed(/without a place to go/))
  await assert.rejects(openUrl(`${server.url}/nowhere`), failed(/without a place to go/))
})

test('a refusal names HF_TOKEN when none was sent, and never shows a token or a signature', async () => {
  await using server = await hostileServer(content, ({ path, headers }) => ({
    status: Number(path.slice(1, 4)),
    headers: {
      'x-error-message': headers.authorization
        ? `bad token ${headers.authorization}`
        : `Access to model x is restricted`,
      'retry-after': '7',
    },
  }))
  for (const status of [401, 403]) {
    await assert.rejects(openUrl(`${server.url}/${status}?sig=secret`), (error: Phi2Error) => {
      assert.equal(error.code, 'PHI2_ACCESS_DENIED')
      assert.match(error.message, /HF_TOKEN.*/)
      assert.match(error.message, /Access to model x is restricted/)
      assert.ok(!error.message.includes('secret'))
      return error instanceof Phi2Error
    })
    await assert.rejects(
      openUrl(`${server.url}/${status}`, { headers: { authorization: 'Bearer hf_secret' } }),
      ({ message }: Error) => /The token that was sent/.test(message) && !/hf_secret/.test(message),
    )
  }
  await assert.rejects(openUrl(`${server.url}/404`), { code: 'PHI2_DOWNLOAD_FAILED', status: 404 })
  await assert.rejects(openUrl(`${server.url}/429`), { code: 'PHI2_DOWNLOAD_FAILED', status: 429, retryAfter: 7000 })
  await assert.rejects(openUrl(`${server.url}/304`), { code: 'PHI2_DOWNLOAD_FAILED', status: 304 })
  assert.equal(shownUrl('https://me:pass@h/a/b?sig=1#x'), 'https://h/a/b')
})

test('what is no http URL is an option error', async () => {
  for (const url of ['', 'model.gguf', 'file:///a', 'ftp://host/a']) {
    await assert.rejects(openUrl(url), { name: 'TypeError', code: 'PHI2_INVALID_OPTION' })
  }
})

test('a cut and a stall in the body are errors that say so, and neither is taken for the end', async () => {
  await using server = await hostileServer(content, ({ path }) =>
    path === '/stall' ? { stallAfter: 100_000 } : path === '/silent' ? { stallAfter: 0 } : { cutAfter: 100_000 },
  )
  for (const [path, message] of [
    ['/cut', /connection was cut/],
    ['/stall', /stalled/],
    ['/silent', /stalled/],
  ] as const) {
    const answer = await openUrl(server.url + path, { stallTimeout: 200 })
    await assert.rejects(read(answer.body), { code: 'PHI2_DOWNLOAD_FAILED', message })
  }
})

test('a server that is not there is an error with the reason', async () => {
  const server = await hostileServer(content)
  await server[Symbol.asyncDispose]()
  await assert.rejects(openUrl(server.url), {
    code: 'PHI2_DOWNLOAD_FAILED',
    reason: 'ECONNREFUSED',
    message: /connection was refused/,
  })
})

test('an abort rejects with its reason, before the answer and in the body', async () => {
  await using server = await hostileServer(content, () => ({ stallAfter: 1000 }))
  const reason = new Error('enough')
  await assert.rejects(openUrl(server.url, { signal: AbortSignal.abort(reason) }), reason)
  const controller = new AbortController()
  const answer = await openUrl(server.url, { signal: controller.signal })
  const reading = read(answer.body)
  controller.abort(reason)
  await assert.rejects(reading, reason)
})

test('a discarded answer cuts its connection and is no unhandled error', async () => {
  await using server = await hostileServer(content, () => ({ stallAfter: 1000 }))
  const answer = await openUrl(server.url)
  answer.discard()
  await new Promise((resolve) => setTimeout(resolve, 20))
})

test('readRange gives the bytes asked for, whether the server knows ranges or not', async () => {
  await using server = await hostileServer(content, ({ path }) => ({ ignoreRange: path === '/whole' }))
  for (const path of ['/ranges', '/whole']) {
    const { bytes, size } = await readRange(server.url + path, 1000, 70_000)
    assert.deepEqual(bytes, content.subarray(1000, 70_000))
    assert.equal(size, content.length)
    const tail = await readRange(server.url + path, content.length - 10, content.length + 10)
    assert.deepEqual(tail.bytes, content.subarray(-10))
  }
  const past = await readRange(`${server.url}/ranges`, content.length, content.length + 10)
  assert.deepEqual([past.bytes.length, past.size], [0, content.length])
})

test('readRange cuts a server that ignores ranges once it has enough', async () => {
  const large = Buffer.alloc(64 << 20)
  await using server = await hostileServer(large, () => ({ ignoreRange: true }))
  const { bytes } = await readRange(server.url, 0, 1000)
  assert.equal(bytes.length, 1000)
  assert.ok(server.bytesServed < 32 << 20, `${server.bytesServed} bytes were sent`)
})

test('readRange refuses another range than the one it asked for', async () => {
  await using server = await hostileServer(content, () => ({ shiftRange: 5 }))
  await assert.rejects(readRange(server.url, 0, 10), { code: 'PHI2_DOWNLOAD_FAILED', message: /another range/ })
})

test('readRange goes on where the redirects ended', async () => {
  await using storage = await hostileServer(content)
  await using hub = await hostileServer(content, () => ({ status: 302, headers: { location: `${storage.url}/blob` } }))
  const first = await readRange(hub.url, 0, 10, { headers: { authorization: 'Bearer x' } })
  const second = await readRange(first.url, 10, 20, { headers: first.requestHeaders })
  assert.deepEqual(Buffer.concat([first.bytes, second.bytes]), content.subarray(0, 20))
  assert.equal(hub.requests.length, 1)
  assert.deepEqual(
    storage.requests.map((asked) => asked.headers.authorization),
    [undefined, undefined],
  )
})

const proxyVariables = ['http_proxy', 'https_proxy', 'no_proxy'].flatMap((name) => [name, name.toUpperCase()])
const withoutProxies = Object.fromEntries(proxyVariables.map((name) => [name, undefined]))

/** Asks for URLs in a process with its own environment, which has to end by itself. */
async function ask(urls: string[], environment: Record<string, string>): Promise<string[]> {
  const { code, stdout, stderr } = await runProgram(
    `
    import { openUrl } from './src/models/http.ts'
    for (const url of ${JSON.stringify(urls)}) {
      try {
        const answer = await openUrl(url)
        let text = ''
        for await (const part of answer.body) text += part
        console.log(text)
      } catch (error) {
        console.log(error.code, error.message)
      }
    }`,
    { environment: { ...withoutProxies, ...environment } },
  )
  assert.equal(stderr, '')
  assert.equal(code, 0)
  return stdout.trim().split('\n')
}

test('proxies come from the environment, in both cases, and the process ends by itself', async () => {
  await using server = await hostileServer(Buffer.from('direct'))
  await using proxy = await forwardProxy('by proxy')
  const { host } = new URL(proxy.url)
  assert.deepEqual(
    await ask([`${server.url}/a`, 'http://nowhere.invalid/b?x=1'], { HTTP_PROXY: proxy.url, no_proxy: '127.0.0.1' }),
    ['direct', 'by proxy'],
  )
  assert.deepEqual(proxy.requests, ['GET http://nowhere.invalid/b?x=1'])
  const [said] = await ask(['https://nowhere.invalid/c'], { https_proxy: host })
  assert.deepEqual(proxy.requests.slice(1), ['CONNECT nowhere.invalid:443'])
  assert.match(said ?? '', /^PHI2_DOWNLOAD_FAILED .*403/)
  assert.match(
    (await ask(['https://nowhere.invalid/'], { HTTPS_PROXY: 'http://[' }))[0] ?? '',
    /^PHI2_INVALID_OPTION Expected the address of a proxy in HTTPS_PROXY, such as http:\/\/proxy:3128$/,
  )
})

test('https goes through the tunnel of a proxy to the server, whose certificate is checked', async () => {
  const certificate = join(packageRoot(), 'test', 'fixtures', 'tls-certificate.pem')
  const key = readFileSync(join(packageRoot(), 'test', 'fixtures', 'tls-key.pem'))
  const server = createSecureServer({ cert: readFileSync(certificate), key }, (_, answer) => answer.end('secret'))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  try {
    await using proxy = await forwardProxy('not the server', { tunnelTo: port })
    const urls = [`https://127.0.0.1:${port}/direct`, 'https://secure.test/tunnelled']
    const environment = { https_proxy: proxy.url, no_proxy: '127.0.0.1' }
    assert.deepEqual(await ask(urls, { ...environment, NODE_EXTRA_CA_CERTS: certificate }), ['secret', 'secret'])
    assert.deepEqual(proxy.requests, ['CONNECT secure.test:443'])
    for (const said of await ask(urls, environment)) {
      assert.match(said, /^PHI2_DOWNLOAD_FAILED .*NODE_EXTRA_CA_CERTS/)
    }
  } finally {
    server.close()
  }
})

test('what a proxy says instead of making a tunnel is never taken for the server’s answer', async () => {
  for (const refusal of [
    '206 Partial Content\r\nContent-Length: 5\r\n',
    '302 Found\r\nLocation: https://other.invalid/\r\n',
  ]) {
    await using proxy = await forwardProxy('wrong', { refusal })
    const [said] = await ask(['https://nowhere.invalid/model.gguf'], { https_proxy: proxy.url })
    assert.match(
      said ?? '',
      /^PHI2_DOWNLOAD_FAILED The proxy for https:\/\/nowhere.invalid\/model.gguf makes no connection/,
    )
    assert.deepEqual(proxy.requests, ['CONNECT nowhere.invalid:443'])
  }
})
