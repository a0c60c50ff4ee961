import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { TLSSocket } from 'node:tls'
import { optionError, Phi2Error, type Phi2ErrorCode } from '../errors.js'
import { packageVersion } from '../package-root.js'
import { type Headers, parseContentRange, parseRetryAfter, parseSize, parseUnsatisfiedRange } from './http-headers.js'
import { agentFor, proxyFor } from './proxy.js'

export interface OpenOptions {
  /** @default 'GET' */
  method?: 'GET' | 'HEAD'
  /** Sent along; `authorization` and `cookie` only to the origin of the URL, never to where it redirects. */
  headers?: Readonly<Record<string, string>>
  signal?: AbortSignal | undefined
  /** @default 10 */
  maxRedirects?: number
  /** Milliseconds without a byte after which a connection counts as cut. @default 30000 */
  stallTimeout?: number | undefined
}

/** A 2xx answer. Its body is iterated once or discarded; whoever leaves the iteration early cuts the connection. */
export interface HttpAnswer {
  status: number
  /** Those of the last answer; `x-linked-size`, `x-linked-etag` and `x-repo-commit` from the first that had them. */
  headers: Headers
  /** Where the redirects ended. Its query can be a signature: show it by {@link shownUrl} only. */
  url: string
  /** What was sent to `url`, so that it can be asked again without the redirects. */
  requestHeaders: Readonly<Record<string, string>>
  /** @throws {HttpError} when the connection is cut or stalls; the signal's reason when it aborts. */
  body: AsyncIterable<Buffer>
  discard(): void
}

/** A request that failed: with `status` the server said so, without it the connection broke. */
export class HttpError extends Phi2Error {
  readonly status: number | undefined
  readonly headers: Headers
  /** Milliseconds that the server asks to wait for. */
  readonly retryAfter: number | undefined
  /** The code of the system's or the client's error, such as `ENOTFOUND`. */
  readonly reason: string | undefined

  constructor(
    code: Phi2ErrorCode,
    message: string,
    details: { status?: number; headers?: Headers; reason?: string | undefined; cause?: unknown } = {},
  ) {
    super(code, message, details.cause === undefined ? undefined : { cause: details.cause })
    this.status = details.status
    this.headers = details.headers ?? {}
    this.retryAfter = parseRetryAfter(this.headers['retry-after'], Date.now())
    this.reason = details.reason
  }
}

// The hub sends them with its redirect to the storage, which knows nothing of them.
const hubHeaders = ['x-linked-size', 'x-linked-etag', 'x-repo-commit'] as const
const redirects = new Set([301, 302, 303, 307, 308])
const secretHeaders = new Set(['authorization', 'cookie'])
const defaultStallTimeout = 30_000

/**
 * Asks for a URL and follows its redirects. Proxies are taken from `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
 *
 * @throws {HttpError} `PHI2_ACCESS_DENIED` for 401 and 403, `PHI2_DOWNLOAD_FAILED` for everything else that is no 2xx.
 * @throws {TypeError | RangeError} `PHI2_INVALID_OPTION` for what is no http or https URL, there or in those variables.
 */
export async function openUrl(url: string, options: OpenOptions = {}): Promise<HttpAnswer> {
  const { method = 'GET', signal, maxRedirects = 10, stallTimeout = defaultStallTimeout } = options
  const first = parseUrl(url)
  const kept: Record<string, string> = {}
  let target = first
  let requestHeaders = requestHeadersOf(options.headers)
  for (let hop = 0; ; hop++) {
    signal?.throwIfAborted()
    const answer = await send(target, { method, headers: requestHeaders, signal, stallTimeout })
    const headers = flatten(answer.headers)
    for (const name of hubHeaders) if (headers[name] !== undefined) kept[name] ??= headers[name]
    const status = answer.statusCode ?? 0
    if (!redirects.has(status)) {
      if (status >= 200 && status < 300) {
        const body = readBody(answer, target, signal, stallTimeout)
        const discard = () => void answer.destroy()
        return {
          status,
          headers: { ...headers, ...kept },
          url: target.href,
          requestHeaders,
          body,
          discard,
        }
      }
      answer.destroy()
      throw statusError(target, status, headers, requestHeaders)
    }
    answer.destroy()
    if (hop >= maxRedirects) {
      throw new HttpError('PHI2_DOWNLOAD_FAILED', `${shownUrl(first)} redirects more than ${maxRedirects} times.`)
    }
    const next = redirectTarget(target, headers.location)
    if (next.origin !== target.origin) requestHeaders = withoutSecrets(requestHeaders)
    target = next
  }
}

/** Bytes of a remote file, as {@link readRange} found them. */
export interface RemoteRange {
  /** Fewer than asked for where the file ends before. */
  bytes: Buffer
  /** Of the whole file, where the server tells. */
  size: number | undefined
  headers: Headers
  /** Where the redirects ended, for the next range. */
  url: string
  requestHeaders: Readonly<Record<string, string>>
}

/**
 * Reads the bytes from `start` to before `end`. A server that ignores ranges is read up to `end` and then cut.
 *
 * @throws {HttpError} as {@link openUrl}, and for a server that answers with another range.
 */
export async function readRange(
  url: string,
  start: number,
  end: number,
  options: Omit<OpenOptions, 'method'> = {},
): Promise<RemoteRange> {
  const headers = { ...options.headers, range: `bytes=${start}-${end - 1}` }
  let answer: HttpAnswer
  try {
    answer = await openUrl(url, { ...options, headers })
  } catch (error) {
    if (!(error instanceof HttpError) || error.status !== 416) throw error
    const size = parseUnsatisfiedRange(error.headers['content-range'])
    return { bytes: Buffer.alloc(0), size, headers: error.headers, url, requestHeaders: options.headers ?? {} }
  }
  const range = parseContentRange(answer.headers['content-range'])
  if (answer.status === 206 && range?.start !== start) {
    answer.discard()
    throw wrongRangeError(answer, start)
  }
  const { range: _, ...requestHeaders } = answer.requestHeaders
  return {
    bytes: await take(answer.body, answer.status === 206 ? 0 : start, end - start),
    size: answer.status === 206 ? range?.size : parseSize(answer.headers['content-length']),
    headers: answer.headers,
    url: answer.url,
    requestHeaders,
  }
}

export function wrongRangeError(answer: HttpAnswer, start: number): HttpError {
  const found = answer.headers['content-range'] ?? 'no Content-Range'
  return new HttpError(
    'PHI2_DOWNLOAD_FAILED',
    `${shownUrl(answer.url)} was asked for the bytes from ${start} on but answered with another range (${printable(found)}).`,
  )
}

/** A URL as messages may show it: without user, password, query and fragment, any of which can be a secret. */
export function shownUrl(url: string | URL): string {
  const { origin, pathname } = new URL(url)
  return `${origin}${pathname}`
}

async function take(body: AsyncIterable<Buffer>, skip: number, length: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let position = 0
  for await (const chunk of body) {
    const part = chunk.subarray(Math.max(0, skip - position), Math.max(0, skip + length - position))
    if (part.length > 0) parts.push(part)
    position += chunk.length
    if (position >= skip + length) break
  }
  return Buffer.concat(parts)
}

/** @throws {TypeError} `PHI2_INVALID_OPTION` */
export function parseUrl(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed?.protocol !== 'http:' && parsed?.protocol !== 'https:') {
    throw optionError('type', `Expected an http or https URL but received ${JSON.stringify(url)}`)
  }
  parsed.hash = ''
  return parsed
}

function redirectTarget(from: URL, location: string | undefined): URL {
  const failed = (why: string) => new HttpError('PHI2_DOWNLOAD_FAILED', `${shownUrl(from)} redirects ${why}.`)
  if (location === undefined || !URL.canParse(location, from.href)) throw failed('without a place to go')
  const target = new URL(location, from)
  if (target.protocol !== 'http:' && target.protocol !== 'https:') throw failed(`to ${printable(target.protocol)}`)
  if (from.protocol === 'https:' && target.protocol === 'http:') {
    throw failed(`to ${shownUrl(target)}, which is not encrypted: refused`)
  }
  target.hash = ''
  return target
}

function requestHeadersOf(given: Readonly<Record<string, string>> = {}): Record<string, string> {
  const headers: Record<string, string> = {
    'user-agent': `phi2/${packageVersion()}`,
    // Sizes, ranges and hashes are those of the file itself.
    'accept-encoding': 'identity',
  }
  for (const [name, value] of Object.entries(given)) headers[name.toLowerCase()] = value
  return headers
}

function withoutSecrets(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !secretHeaders.has(name)))
}

interface SendOptions {
  method: 'GET' | 'HEAD'
  headers: Record<string, string>
  signal: AbortSignal | undefined
  stallTimeout: number
}

async function send(url: URL, options: SendOptions): Promise<IncomingMessage> {
  try {
    return await ask(url, options)
  } catch (error) {
    throw options.signal?.aborted
      ? options.signal.reason
      : error instanceof HttpError
        ? error
        : networkError(url, error)
  }
}

function ask(url: URL, options: SendOptions): Promise<IncomingMessage> {
  const { method, headers, signal, stallTimeout } = options
  const secure = url.protocol === 'https:'
  const agent = agentFor(url)
  return new Promise((resolve, reject) => {
    const request = (secure ? httpsRequest : httpRequest)(url, { method, headers, agent, signal })
    const timer = setTimeout(() => request.destroy(new Stalled('no answer came in time')), stallTimeout)
    request.on('response', (answer) => {
      clearTimeout(timer)
      // Between here and the first read nobody listens, and an 'error' event would end the process.
      answer.on('error', () => {})
      // A proxy that makes no tunnel is answering itself, and what it says is not the server's.
      if (!secure || answer.socket instanceof TLSSocket) return resolve(answer)
      answer.destroy()
      reject(proxyError(url, answer.statusCode))
    })
    request.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer)
      // The server closed an idle connection just when it was taken for this request: no fault of anybody's.
      if (request.reusedSocket && error.code === 'ECONNRESET' && !signal?.aborted) resolve(ask(url, options))
      else reject(error)
    })
    request.end()
  })
}

class Stalled extends Error {
  readonly code = 'ETIMEDOUT'
}

async function* readBody(
  answer: IncomingMessage,
  url: URL,
  signal: AbortSignal | undefined,
  stallTimeout: number,
): AsyncGenerator<Buffer> {
  // Only while something is waited for: a reader may take its time.
  const watch = () => setTimeout(() => answer.destroy(new Stalled('the connection stalled')), stallTimeout)
  let timer = watch()
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      clearTimeout(timer)
      yield chunk
      timer = watch()
    }
  } catch (error) {
    throw signal?.aborted ? signal.reason : networkError(url, error)
  } finally {
    clearTimeout(timer)
  }
}

function flatten(headers: Record<string, string | string[] | undefined>): Headers {
  const flat: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    const one = Array.isArray(value) ? value[0] : value
    if (one !== undefined) flat[name.toLowerCase()] = one
  }
  return flat
}

function statusError(url: URL, status: number, headers: Headers, sent: Readonly<Record<string, string>>): HttpError {
  const shown = shownUrl(url)
  const remark = serverRemark(headers, sent)
  if (status === 401 || status === 403) {
    const advice =
      sent.authorization === undefined
        ? 'No token was sent: set HF_TOKEN to an access token, and accept the terms on the model’s page where it has any.'
        : 'The token that was sent does not open it: see whether it is still valid, and accept the terms on the model’s page where it has any.'
    return new HttpError('PHI2_ACCESS_DENIED', `${shown} refuses access (${status}).${remark} ${advice}`, {
      status,
      headers,
    })
  }
  const meaning =
    {
      407: ' That is the proxy, which asks for a user and a password, as in http://user:password@proxy:3128.',
      404: ' There is no such file; see whether the name and the revision are right.',
      429: ' Too many requests; try again later.',
      503: ' The server is overloaded; try again later.',
    }[status] ?? ''
  return new HttpError('PHI2_DOWNLOAD_FAILED', `${shown} answered ${status}.${remark}${meaning}`, { status, headers })
}

/** What the hub says in a header of its own; nothing where it repeats a secret. */
function serverRemark(headers: Headers, sent: Readonly<Record<string, string>>): string {
  const said = headers['x-error-message']
  const token = sent.authorization?.split(' ').at(-1)
  if (!said || (token && said.includes(token))) return ''
  return ` The server says: ${printable(said)}`
}

// What comes from a server must not steer the terminal that shows it.
function printable(text: string): string {
  const plain = text.replace(/[^\x20-\x7e]/g, '')
  return plain.length > 200 ? `${plain.slice(0, 199)}…` : plain
}

const networkReasons: Readonly<Record<string, string>> = {
  ENOTFOUND: 'the name of the server is not known; see whether there is a connection to the network',
  EAI_AGAIN: 'the name of the server cannot be looked up; see whether there is a connection to the network',
  ECONNREFUSED: 'the connection was refused',
  EHOSTUNREACH: 'there is no way to the server; see whether there is a connection to the network',
  ENETUNREACH: 'there is no way to the server; see whether there is a connection to the network',
  ECONNRESET: 'the connection was cut',
  EPIPE: 'the connection was cut',
}

/** Codes of a certificate that is not trusted. */
export const untrusted = /^(CERT_|ERR_TLS_|ERR_SSL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_)/

function networkError(url: URL, error: unknown): HttpError {
  const { code = '', message = '' } = error as { code?: string; message?: string }
  const said = printable(message || code || 'an unknown error')
  const hint = untrusted.test(code) ? ' NODE_EXTRA_CA_CERTS can name the certificate of a company’s network.' : ''
  const why = `${networkReasons[code] ?? said}.${hint}${proxyHint(url)}`
  return new HttpError('PHI2_DOWNLOAD_FAILED', `${shownUrl(url)} cannot be read: ${why}`, {
    reason: code,
    cause: error,
  })
}

/** The reason of an {@link HttpError} when a proxy does not let a request through. */
export const PROXY_REFUSED = 'PROXY_REFUSED'

function proxyError(url: URL, status: number | undefined): HttpError {
  const meaning = status === 407 ? ' It asks for a user and a password, as in http://user:password@proxy:3128.' : ''
  return new HttpError(
    'PHI2_DOWNLOAD_FAILED',
    `The proxy for ${shownUrl(url)} makes no connection to it: it answered ${status}.${meaning}`,
    { reason: PROXY_REFUSED },
  )
}

function proxyHint(url: URL): string {
  const proxy = proxyFor(url)
  return proxy ? ` It goes through the proxy ${proxy.host}: see whether that lets it through.` : ''
}
