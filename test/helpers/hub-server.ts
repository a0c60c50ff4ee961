import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import './empty-cache.js'

export interface HubRequest {
  /** On the hub, or on the storage that it redirects to. */
  server: 'hub' | 'storage'
  path: string
  authorization: string | undefined
}

export interface HubServer extends AsyncDisposable {
  /** For HF_ENDPOINT. */
  url: string
  /** The same server as another origin: for MODELSCOPE_DOMAIN. */
  otherUrl: string
  requests: readonly HubRequest[]
  /** Names of the files that were asked for, in order and once each. */
  readonly files: readonly string[]
}

export const COMMIT = '0123456789abcdef0123456789abcdef01234567'

export interface HubOptions {
  /** Answers with this status where it gives one. */
  status?: (path: string) => number | undefined
  /** Milliseconds between pieces of large files. */
  delay?: number
}

/**
 * A hub with one content for every repository, in the manner of Hugging Face (large files lie in a storage at another
 * origin, and the redirect tells their hash and the commit) and of ModelScope (a list of files, and no hash elsewhere).
 */
export async function hubServer(
  content: Readonly<Record<string, Buffer>>,
  { delay = 0, status }: HubOptions = {},
): Promise<HubServer> {
  const requests: HubRequest[] = []
  const note = (server: HubRequest['server'], { headers, url }: IncomingMessage) =>
    requests.push({ server, path: url!, authorization: headers.authorization })

  const storage = createServer((request, response) => {
    note('storage', request)
    const bytes = content[decodeURIComponent(request.url!.split('?')[0]!.slice(1))]
    if (bytes) sendBytes(bytes, request, response, delay)
    else response.writeHead(404).end()
  })
  const storageUrl = await listen(storage)

  const hub = createServer((request, response) => {
    note('hub', request)
    const url = new URL(request.url!, 'http://hub')
    const [, huggingFace] = /^\/[^/]+\/[^/]+\/resolve\/[^/]+\/(.+)$/.exec(url.pathname) ?? []
    const failure = status?.(url.pathname)
    if (failure) response.writeHead(failure).end()
    else if (url.pathname.endsWith('/repo/files')) sendList(content, response)
    else if (huggingFace !== undefined) sendAsHuggingFace(decodeURIComponent(huggingFace), request, response)
    else if (url.pathname.endsWith('/repo')) sendAsModelScope(url.searchParams.get('FilePath')!, request, response)
    else response.writeHead(404).end()
  })

  const sendAsHuggingFace = (path: string, request: IncomingMessage, response: ServerResponse) => {
    const bytes = content[path]
    if (!bytes) return response.writeHead(404).end()
    response.setHeader('x-repo-commit', COMMIT)
    if (bytes.length < 10_000) return sendBytes(bytes, request, response, 0)
    response.setHeader('x-linked-etag', `"${sha256(bytes)}"`)
    response.setHeader('x-linked-size', bytes.length)
    return response.writeHead(302, { location: `${storageUrl}/${encodeURIComponent(path)}?signature=secret` }).end()
  }
  const sendAsModelScope = (path: string, request: IncomingMessage, response: ServerResponse) => {
    const bytes = content[path]
    return bytes ? sendBytes(bytes, request, response, delay) : response.writeHead(404).end()
  }

  const url = await listen(hub)
  return {
    url,
    otherUrl: url.replace('127.0.0.1', 'localhost'),
    requests,
    get files() {
      const names = requests.filter(({ server }) => server === 'hub').map(({ path }) => decodeURIComponent(path))
      return [...new Set(names.map((name) => /([^/=]+)$/.exec(name)![1]!))]
    },
    [Symbol.asyncDispose]: async () => {
      for (const server of [hub, storage]) {
        server.closeAllConnections()
        server.close()
      }
    },
  }
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function sendList(content: Readonly<Record<string, Buffer>>, response: ServerResponse): void {
  const Files = Object.entries(content).map(([Path, bytes]) => ({ Path, Size: bytes.length, Sha256: sha256(bytes) }))
  response.end(JSON.stringify({ Code: 200, Data: { Files } }))
}

function sendBytes(bytes: Buffer, { headers }: IncomingMessage, response: ServerResponse, delay: number): void {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? []
  const start = Number(first ?? 0)
  const end = Math.min(bytes.length, last ? Number(last) + 1 : bytes.length)
  response.setHeader('accept-ranges', 'bytes')
  response.setHeader('etag', `"${bytes.length}"`)
  response.setHeader('content-length', end - start)
  if (first !== undefined) {
    response.statusCode = 206
    response.setHeader('content-range', `bytes ${start}-${end - 1}/${bytes.length}`)
  }
  const piece = delay > 0 ? 256 << 10 : end - start
  const send = (from: number): void => {
    if (response.destroyed) return
    if (from >= end) return void response.end()
    response.write(bytes.subarray(from, Math.min(end, from + piece)))
    if (delay > 0) setTimeout(send, delay, from + piece)
    else send(from + piece)
  }
  send(start)
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  server.unref()
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
