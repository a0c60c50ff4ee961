import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import './empty-cache.js'

/** What goes wrong with one request; an empty object is an honest answer. */
export interface Fault {
  /** Answers with this status and no file. */
  status?: number
  /** Added to the answer's own. */
  headers?: Record<string, string>
  /** Another content than the server's. */
  bytes?: Buffer
  /** `null` sends none. */
  etag?: string | null
  ignoreRange?: boolean
  /** Answers with the bytes from so much further on, and says so. */
  shiftRange?: number
  /** Closes the connection after so many bytes of the body. */
  cutAfter?: number
  /** Sends nothing more after so many bytes of the body, and keeps the connection. */
  stallAfter?: number
  /** Sends the body only after this. */
  after?: Promise<unknown>
  /** Milliseconds between pieces of 64 KiB. */
  delay?: number
  /** Without Content-Length. */
  chunked?: boolean
}

export interface Asked {
  method: string
  path: string
  headers: IncomingHttpHeaders
  /** How many requests came before. */
  index: number
  /** Where the range begins that was asked for. */
  start: number | undefined
}

export interface HostileServer extends AsyncDisposable {
  url: string
  requests: readonly Asked[]
  /** Bytes of bodies handed to connections. */
  readonly bytesServed: number
}

const piece = 64 << 10
export const honestEtag = '"one"'

/** Serves `bytes` under every path, with ranges and If-Range, except for what `fault` makes of a request. */
export async function hostileServer(
  bytes: Buffer,
  fault: (asked: Asked) => Fault = () => ({}),
): Promise<HostileServer> {
  const requests: Asked[] = []
  const state = { bytesServed: 0 }
  const server = createServer((request, response) => {
    const asked = read(request, requests.length)
    requests.push(asked)
    answer(asked, fault(asked), bytes, response, state).catch(() => response.destroy())
  })
  const { url, close } = await listen(server)
  return {
    url,
    requests,
    get bytesServed() {
      return state.bytesServed
    },
    [Symbol.asyncDispose]: close,
  }
}

export interface ForwardProxy extends AsyncDisposable {
  url: string
  /** `GET http://host/path` and `CONNECT host:port`, as they came. */
  requests: readonly string[]
}

/**
 * A proxy that answers every plain request itself, with its own text. Tunnels end at `tunnelTo`; without it each is answered with
 * `refusal`, a status line and headers.
 */
export async function forwardProxy(
  text: string,
  { tunnelTo, refusal = '403 Forbidden\r\n' }: { tunnelTo?: number; refusal?: string } = {},
): Promise<ForwardProxy> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`)
    response.end(text)
  })
  server.on('connect', (request, socket) => {
    requests.push(`CONNECT ${request.url}`)
    if (tunnelTo === undefined) return socket.end(`HTTP/1.1 ${refusal}\r\n${text}`)
    const far = connect(tunnelTo, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      far.pipe(socket).pipe(far)
    })
    far.on('error', () => socket.destroy())
    return socket.on('error', () => far.destroy())
  })
  const { url, close } = await listen(server)
  return { url, requests, [Symbol.asyncDispose]: close }
}

async function listen(server: Server): Promise<{ url: string; close: () => Promise<void> }> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const close = async () => {
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  }
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close }
}

function read(request: IncomingMessage, index: number): Asked {
  const start = /^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1]
  return {
    method: request.method ?? '',
    path: request.url ?? '',
    headers: request.headers,
    index,
    start: start === undefined ? undefined : Number(start),
  }
}

async function answer(
  asked: Asked,
  fault: Fault,
  honest: Buffer,
  response: ServerResponse,
  state: { bytesServed: number },
): Promise<void> {
  const { status, bytes = honest, etag = honestEtag, shiftRange = 0 } = fault
  if (etag !== null) response.setHeader('etag', etag)
  if (status !== undefined) {
    for (const [name, value] of Object.entries(fault.headers ?? {})) response.setHeader(name, value)
    response.writeHead(status).end()
    return
  }
  let [start, end] = [0, bytes.length]
  const range = /^bytes=(\d+)-(\d*)$/.exec(asked.headers.range ?? '')
  const ifRange = asked.headers['if-range']
  if (range && !fault.ignoreRange && (ifRange === undefined || ifRange === etag)) {
    start = Number(range[1]) + shiftRange
    end = Math.min(bytes.length, range[2] ? Number(range[2]) + 1 + shiftRange : bytes.length)
    if (start >= bytes.length) {
      response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end()
      return
    }
    response.statusCode = 206
    response.setHeader('content-range', `bytes ${start}-${end - 1}/${bytes.length}`)
  }
  if (!fault.chunked) response.setHeader('content-length', end - start)
  for (const [name, value] of Object.entries(fault.headers ?? {})) response.setHeader(name, value)
  if (asked.method === 'HEAD') {
    response.end()
    return
  }
  response.flushHeaders()
  const closed = new AbortController()
  response.on('close', () => closed.abort())
  await fault.after
  const { cutAfter = Number.POSITIVE_INFINITY, stallAfter = Number.POSITIVE_INFINITY } = fault
  const last = Math.min(end, start + cutAfter, start + stallAfter)
  for (let position = start; position < last && !response.destroyed; position += piece) {
    const part = bytes.subarray(position, Math.min(last, position + piece))
    state.bytesServed += part.length
    if (!response.write(part)) await once(response, 'drain', { signal: closed.signal })
    if (fault.delay) await sleep(fault.delay)
  }
  if (last === end) response.end()
  // What was written has to reach the other side before the connection goes.
  else if (stallAfter > cutAfter) response.socket?.end()
}
