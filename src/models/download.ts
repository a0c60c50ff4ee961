import { fileError } from '../../gguf/atomic-file.js'
import { checkInteger, checkText } from '../../gguf/checks.js'
import { optionError } from '../errors.js'
import { DownloadJob, present, sizeOf } from './download/job.js'
import { acquireLock, defaultLockTiming, type LockTiming } from './download/lock.js'
import { readProgress } from './download/partial-file.js'
import { defaultRetry, type RetryPolicy } from './download/retry.js'
import { Speed } from './download/speed.js'
import { parseUrl } from './http.js'

// Why not a downloader from npm: ipull 4.0 fetches ranges in parallel and resumes, but knows neither ETags nor If-Range (a
// file that changes is mixed), nor hashes, nor locks, uses Node's own fetch (which has no proxies in Node 20) and brings 20
// packages. @huggingface/hub 2.17 downloads in one stream, and neither resumes nor verifies nor locks.

export interface DownloadOptions {
  /** http or https. */
  url: string
  /** Where the file comes to lie; folders are made. A file there is replaced when it is another one. */
  to: string
  /** Size that the file must have. */
  bytes?: number | undefined
  /** Hash that it must have, in hex. @default what the hub says, where it does */
  sha256?: string | undefined
  /** Sent along; `authorization` only to the origin of the URL. */
  headers?: Readonly<Record<string, string>>
  /** Requests at the same time, 1 to 16. @default 4 */
  connections?: number
  /** Reads a file that is there already and compares its hash, instead of its size alone. @default false */
  verify?: boolean
  /** Aborting throws `signal.reason`; what has come stays for the next time. */
  signal?: AbortSignal | undefined
  onProgress?: ((progress: DownloadProgress) => void) | undefined
}

export interface DownloadProgress {
  /**
   * `downloading`; `retrying` while the server is given time; `waiting` while another process downloads this file;
   * `verifying` while nothing but the hash is left.
   */
  phase: 'downloading' | 'retrying' | 'waiting' | 'verifying'
  /** Bytes that are there, or were hashed. */
  done: number
  /** Undefined where the server does not say. */
  total: number | undefined
  /** Over the last seconds. */
  bytesPerSecond: number
}

export interface DownloadResult {
  path: string
  bytes: number
  /** Undefined for a file that was there already and was not read again. */
  sha256: string | undefined
  /** What it was compared with: the hash that was given, the hub's hash, its size alone, or nothing. */
  verified: 'given' | 'hub' | 'size' | 'none'
  /** The commit that the hub names in `x-repo-commit`. */
  revision: string | undefined
  /** The URL without its query. */
  url: string
}

/** What tests shorten. */
export interface DownloadTuning {
  retry: RetryPolicy
  lock: LockTiming
  /** Bytes that one request asks for. */
  pieceSize: number
  /** Milliseconds without a byte after which a connection counts as cut. */
  stallTimeout: number | undefined
  /** Milliseconds between reports. */
  tick: number
  /** Milliseconds between two states on disk: what a kill can cost at most. */
  saveInterval: number
}

const defaultTuning: DownloadTuning = {
  retry: defaultRetry,
  lock: defaultLockTiming,
  pieceSize: 32 << 20,
  stallTimeout: undefined,
  tick: 200,
  saveInterval: 1000,
}

/**
 * Downloads a file, so that under the name `to` there is only ever the whole of it: in parallel ranges, resumed after any
 * cut, abort or kill, hashed on the way, compared, and renamed at the end. Two calls for one file cooperate, also from two
 * processes: one downloads, the other waits and takes the result, or goes on when the first dies.
 *
 * @example
 * const { path, verified } = await download({ url, to: 'phi-2.gguf', sha256, onProgress: ({ done }) => … })
 * @throws {Phi2Error} `PHI2_DOWNLOAD_FAILED` (what came stays), `PHI2_ACCESS_DENIED`, `PHI2_CHECKSUM_MISMATCH` (nothing
 * stays), `PHI2_NO_SPACE`, `PHI2_IO`.
 * @throws {TypeError | RangeError} `PHI2_INVALID_OPTION`
 */
export async function download(
  options: DownloadOptions,
  tuning: Partial<DownloadTuning> = {},
): Promise<DownloadResult> {
  checkDownloadOptions(options)
  const { to, bytes, signal } = options
  const settings = { ...defaultTuning, ...tuning }
  try {
    signal?.throwIfAborted()
    const size = await sizeOf(to)
    if (size !== undefined && size === bytes && !options.verify) return present(options, size)
    const onWait = reportOther(options)
    for (let verify = options.verify ?? false; ; ) {
      const lock = await acquireLock(`${to}.lock`, { timing: settings.lock, signal, onWait })
      try {
        // What another process has just finished is seen with our own eyes rather than believed.
        verify ||= lock.waited
        return await new DownloadJob({ ...options, verify }, settings, lock).run()
      } catch (error) {
        // This process stood still for so long that another one took over: so we are the one who waits.
        if (!lock.lost.aborted || signal?.aborted) throw error
        verify = true
      } finally {
        await lock.release()
      }
    }
  } catch (error) {
    throw fileError(to, error)
  }
}

/** How far the other one is, by its state file. */
function reportOther({ to, bytes, onProgress }: DownloadOptions): () => Promise<void> {
  const speed = new Speed()
  return async () => {
    const { done, total = bytes } = (await readProgress(to)) ?? {}
    const bytesPerSecond = done === undefined ? 0 : speed.record(performance.now(), done)
    onProgress?.({ phase: 'waiting', done: done ?? 0, total, bytesPerSecond })
  }
}

function checkDownloadOptions(options: DownloadOptions): void {
  const { url, to, bytes, sha256, connections } = options
  checkText('url', url)
  parseUrl(url)
  checkText('to', to)
  if (bytes !== undefined) checkInteger('bytes', bytes, 0, Number.MAX_SAFE_INTEGER)
  if (connections !== undefined) checkInteger('connections', connections, 1, 16)
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(sha256)) {
    throw optionError('type', `Expected 64 hex digits for sha256 but received ${JSON.stringify(sha256)}`)
  }
}
