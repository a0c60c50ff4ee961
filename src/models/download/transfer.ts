import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { type HttpAnswer, HttpError, openUrl, wrongRangeError } from '../http.js'
import { parseContentRange } from '../http-headers.js'
import type { Interval } from './intervals.js'
import type { PartialFile } from './partial-file.js'
import { checkEncoding, ifRange, isPartOf, type RemoteFile } from './remote-file.js'
import { isTransient, type RetryPolicy, retryDelay } from './retry.js'

export interface TransferOptions {
  remote: RemoteFile
  partial: PartialFile
  connections: number
  /** Bytes that one request asks for. */
  pieceSize: number
  retry: RetryPolicy
  stallTimeout: number | undefined
  signal: AbortSignal
  /** Called when every connection waits before it asks again, and when one goes on. */
  onWaiting(waiting: boolean): void
}

/**
 * The server has to be asked anew what it has: the signed URL is no longer good, or the file changed, or ranges are
 * suddenly ignored. What was received stays.
 */
export class AskAnew extends Error {
  override readonly cause: HttpError
  /** It answered, but not with the part that was asked for. */
  readonly withoutPart: boolean

  constructor(cause: HttpError, withoutPart: boolean) {
    super('the server has to be asked anew')
    this.cause = cause
    this.withoutPart = withoutPart
  }
}

/** The last connection has tried as often as it may. */
export class Exhausted extends Error {
  override readonly cause: unknown

  constructor(cause: unknown) {
    super('the server was asked often enough')
    this.cause = cause
  }
}

/** Fetches what is missing over several connections, which take pieces in order from one queue. */
export async function fetchRanges(options: TransferOptions): Promise<void> {
  const queue = new PieceQueue(options.partial.gaps(options.pieceSize))
  const failed = new AbortController()
  const signal = AbortSignal.any([options.signal, failed.signal])
  // Each connection listens, which is no leak.
  setMaxListeners(0, signal)
  // Wakes those who wait to ask again for what others have fetched meanwhile.
  const finished = new AbortController()
  let active = Math.min(options.connections, queue.length)
  let waiting = 0

  const pause = async (delay: number) => {
    waiting++
    if (waiting === active) options.onWaiting(true)
    await sleep(delay, undefined, { signal: AbortSignal.any([signal, finished.signal]) }).catch(() => {})
    if (waiting === active) options.onWaiting(false)
    waiting--
    signal.throwIfAborted()
  }

  const connect = async () => {
    let failures = 0
    for (let piece = queue.take(); piece; piece = queue.take()) {
      const { start } = piece
      try {
        await fetchPiece(piece, options, signal)
        failures = 0
        queue.giveBack(piece)
      } catch (error) {
        if (piece.start > start) failures = 0
        failures++
        queue.giveBack(piece)
        if (!isTransient(error, true)) throw error
        // A server may allow fewer connections than we want: the last one decides whether it gives anything at all.
        if (failures > options.retry.attempts) {
          if (active > 1) return
          throw new Exhausted(error)
        }
        await pause(retryDelay(options.retry, failures, error))
      }
      if (queue.isDone) finished.abort()
    }
  }

  const connections = Array.from({ length: active }, () =>
    connect()
      .catch((error) => failed.abort(error))
      .finally(() => active--),
  )
  await Promise.all(connections)
  signal.throwIfAborted()
}

/** What is to be fetched, lowest first, so that the beginning of the file is complete early and can be hashed. */
class PieceQueue {
  readonly #pieces: Interval[]
  #taken = 0

  constructor(pieces: Interval[]) {
    this.#pieces = pieces
  }

  get length(): number {
    return this.#pieces.length
  }

  get isDone(): boolean {
    return this.#pieces.length === 0 && this.#taken === 0
  }

  take(): Interval | undefined {
    const piece = this.#pieces.shift()
    if (piece) this.#taken++
    return piece
  }

  /** What is left of a piece, which can be nothing. */
  giveBack(piece: Interval): void {
    this.#taken--
    if (piece.start >= piece.end) return
    const at = this.#pieces.findIndex((other) => other.start > piece.start)
    this.#pieces.splice(at === -1 ? this.#pieces.length : at, 0, piece)
  }
}

/** Moves `piece.start` on with every byte that was written. */
async function fetchPiece(piece: Interval, options: TransferOptions, signal: AbortSignal): Promise<void> {
  const { remote, partial, stallTimeout } = options
  const headers = {
    ...remote.requestHeaders,
    ...ifRange(remote.validator),
    range: `bytes=${piece.start}-${piece.end - 1}`,
  }
  let answer: HttpAnswer
  try {
    answer = await openUrl(remote.url, { headers, signal, stallTimeout })
  } catch (error) {
    // 401, 403 and 404 of a signed URL mean that its time is over; 416 that the file is shorter now.
    const refused = error instanceof HttpError && error.status !== undefined && !isTransient(error, true)
    throw refused ? new AskAnew(error, false) : error
  }
  const range = parseContentRange(answer.headers['content-range'])
  const changed = !isPartOf(remote, answer.headers) || (range?.size ?? remote.size) !== remote.size
  if (changed || answer.status !== 206) {
    answer.discard()
    const what = changed ? 'changed while it was being downloaded' : 'cannot be had in parts any more'
    throw new AskAnew(new HttpError('PHI2_DOWNLOAD_FAILED', `${remote.name} ${what}.`), true)
  }
  try {
    if (range?.start !== piece.start) throw wrongRangeError(answer, piece.start)
    checkEncoding(remote.name, answer.headers)
  } catch (error) {
    answer.discard()
    throw error
  }
  const end = Math.min(piece.end, range.end)
  for await (const chunk of answer.body) {
    const wanted = chunk.subarray(0, end - piece.start)
    await partial.write(wanted, piece.start)
    piece.start += wanted.length
    if (wanted.length < chunk.length) break
  }
  if (piece.start < end) throw cutError(remote)
}

/**
 * Fetches what is missing from an answer that has all of the file. What is there stays: it may be hashed already, and then
 * the hash would not be that of the file.
 */
export async function fetchWhole(
  answer: HttpAnswer,
  options: Pick<TransferOptions, 'remote' | 'partial'>,
): Promise<void> {
  const { remote, partial } = options
  let position = 0
  for await (const chunk of answer.body) {
    if (remote.size !== undefined && position + chunk.length > remote.size) {
      throw new HttpError(
        'PHI2_DOWNLOAD_FAILED',
        `${remote.name} sends more than the ${remote.size} bytes that it has.`,
      )
    }
    for (const { start, end } of partial.intervals.missing(position, position + chunk.length)) {
      await partial.write(chunk.subarray(start - position, end - position), start)
    }
    position += chunk.length
  }
  if (position < (remote.size ?? 0)) throw cutError(remote)
}

function cutError(remote: RemoteFile): HttpError {
  return new HttpError('PHI2_DOWNLOAD_FAILED', `${remote.name} cannot be read: the connection was cut.`)
}
