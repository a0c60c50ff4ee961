import { stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkFreeSpace, freeSpace } from '../../../gguf/free-space.js'
import { Phi2Error } from '../../errors.js'
import type { DownloadOptions, DownloadProgress, DownloadResult, DownloadTuning } from '../download.js'
import { type HttpAnswer, HttpError, shownUrl } from '../http.js'
import { Failures } from './failures.js'
import { FileHasher } from './hasher.js'
import type { FileLock } from './lock.js'
import { PartialFile, removePartial } from './partial-file.js'
import { hasIdentity, openRemote, type RemoteFile, sameFile } from './remote-file.js'
import { Speed } from './speed.js'
import { AskAnew, Exhausted, fetchRanges, fetchWhole } from './transfer.js'

// A file that is replaced while it is fetched is begun anew, but not for ever.
const maxChanges = 3

/** One download, by the holder of the lock. */
export class DownloadJob {
  readonly #options: DownloadOptions
  readonly #tuning: DownloadTuning
  readonly #lock: FileLock
  readonly #failed = new AbortController()
  readonly #signal: AbortSignal
  #speed = new Speed()
  readonly #hashing = new Speed()
  #phase: DownloadProgress['phase'] = 'downloading'
  #remote: RemoteFile | undefined
  #partial: PartialFile | undefined
  #hasher: FileHasher | undefined
  #changes = 0
  /** The server has given parts of the file, now or in an earlier call. */
  #inParts = false
  /** Most bytes that were there at any time: what goes beyond is progress. */
  #furthest = 0
  #saved = 0

  constructor(options: DownloadOptions, tuning: DownloadTuning, lock: FileLock) {
    this.#options = options
    this.#tuning = tuning
    this.#lock = lock
    this.#signal = AbortSignal.any([lock.lost, this.#failed.signal, ...(options.signal ? [options.signal] : [])])
  }

  async run(): Promise<DownloadResult> {
    const { to, bytes, sha256, verify } = this.#options
    const ticker = setInterval(() => this.#tick(), this.#tuning.tick)
    try {
      const size = await sizeOf(to)
      const enough = size !== undefined && size === bytes && (!verify || sha256 !== undefined)
      const there = enough ? await this.#isThere(size, sha256) : undefined
      return there ?? (await this.#fetch(size))
    } catch (error) {
      // A failure can be the other holder's work, and then nothing here is ours to leave or to throw away.
      await this.#lock.confirm().catch(() => {})
      await this.#leave()
      throw this.#signal.aborted ? this.#signal.reason : error
    } finally {
      clearInterval(ticker)
      await this.#hasher?.close()
    }
  }

  /**
   * Asks the server what it has and fetches what is missing, again and again until all is there.
   * @param there size of a file that has the name already
   */
  async #fetch(there: number | undefined): Promise<DownloadResult> {
    const failures = new Failures(this.#tuning.retry)
    for (;;) {
      try {
        return await this.#attempt(failures.partsWork, this.#remote === undefined ? there : undefined)
      } catch (error) {
        this.#signal.throwIfAborted()
        const delay = failures.next(error, this.#madeProgress(), this.#remote !== undefined)
        if (delay === undefined) throw await this.#explain(error)
        this.#phase = 'retrying'
        await sleep(delay, undefined, { signal: this.#signal }).catch(() => this.#signal.throwIfAborted())
      }
    }
  }

  async #attempt(askForParts: boolean, there: number | undefined): Promise<DownloadResult> {
    const { url, headers = {}, sha256 } = this.#options
    const { stallTimeout } = this.#tuning
    const { remote: found, whole } = await openRemote(url, askForParts, { headers, signal: this.#signal, stallTimeout })
    try {
      const remote = this.#expected(found)
      if (there !== undefined && there === remote.size) {
        const result = await this.#isThere(there, sha256 ?? remote.sha256)
        if (result) return { ...result, revision: remote.revision }
      }
      const partial = await this.#prepare(remote)
      this.#inParts ||= remote.ranges
      await this.#transfer(remote, partial, whole)
      return await this.#complete(remote, partial)
    } finally {
      whole?.discard()
    }
  }

  #madeProgress(): boolean {
    const total = this.#partial?.intervals.total ?? 0
    const progress = total > this.#furthest
    this.#furthest = Math.max(this.#furthest, total)
    return progress
  }

  /** Compares what the server says with what was asked for, before any data. */
  #expected(remote: RemoteFile): RemoteFile {
    const { bytes, sha256 } = this.#options
    if (bytes !== undefined && remote.size !== undefined && remote.size !== bytes) {
      throw new Phi2Error(
        'PHI2_DOWNLOAD_FAILED',
        `Expected ${bytes} bytes at ${remote.name} but the server has ${remote.size}: it is another file.`,
      )
    }
    if (sha256 !== undefined && remote.sha256 !== undefined && remote.sha256 !== sha256.toLowerCase()) {
      throw mismatchError(remote.name, sha256.toLowerCase(), `the hub has ${remote.sha256}`)
    }
    return { ...remote, size: remote.size ?? bytes }
  }

  /** The result when the file under the final name is the right one already. */
  async #isThere(size: number, sha256: string | undefined): Promise<DownloadResult | undefined> {
    const result = present(this.#options, size)
    if (!this.#options.verify || sha256 === undefined) {
      await removePartial(this.#options.to)
      return result
    }
    this.#hasher = new FileHasher(this.#options.to)
    const found = await this.#digest(size)
    if (found !== sha256.toLowerCase()) return undefined
    await removePartial(this.#options.to)
    return { ...result, sha256: found, verified: this.#options.sha256 === undefined ? 'hub' : 'given' }
  }

  /** The partial file for what the server has now; what cannot be told to be of this file is thrown away. */
  async #prepare(remote: RemoteFile): Promise<PartialFile> {
    const before = this.#remote
    this.#remote = remote
    this.#phase = 'downloading'
    await this.#lock.confirm()
    if (this.#partial && before && sameFile(before, remote)) return this.#partial
    if (this.#partial && before) {
      if (hasIdentity(before) && ++this.#changes > maxChanges) {
        throw new Phi2Error(
          'PHI2_DOWNLOAD_FAILED',
          `${remote.name} changed ${this.#changes} times while it was being downloaded. Try again later.`,
        )
      }
      const old = this.#partial
      this.#partial = undefined
      await old.discard()
    }
    await this.#hasher?.close()
    const { to } = this.#options
    this.#partial = await PartialFile.open(to, remote)
    // What was there already did not come at any speed.
    this.#speed = new Speed()
    this.#inParts = this.#partial.intervals.total > 0
    this.#hasher = new FileHasher(this.#partial.path)
    const { missing } = this.#partial
    if (missing !== undefined) await checkFreeSpace(dirname(to), missing, `Downloading ${basename(to)}`)
    this.#furthest = Math.max(this.#furthest, this.#partial.intervals.total)
    return this.#partial
  }

  async #transfer(remote: RemoteFile, partial: PartialFile, whole: HttpAnswer | undefined): Promise<void> {
    if (whole) return fetchWhole(whole, { remote, partial })
    const { connections = 4 } = this.#options
    const { pieceSize, retry, stallTimeout } = this.#tuning
    const onWaiting = (waiting: boolean) => {
      this.#phase = waiting ? 'retrying' : 'downloading'
    }
    return fetchRanges({
      ...{ remote, partial, connections, pieceSize, retry, stallTimeout },
      signal: this.#signal,
      onWaiting,
    })
  }

  async #complete(remote: RemoteFile, partial: PartialFile): Promise<DownloadResult> {
    const bytes = remote.size ?? partial.intervals.total
    const given = this.#options.sha256?.toLowerCase()
    const expected = given ?? remote.sha256
    const sha256 = await this.#digest(bytes)
    await partial.sync()
    // What lies under the names from here on could be another process's.
    await this.#lock.confirm()
    if (expected !== undefined && sha256 !== expected) {
      this.#partial = undefined
      await partial.discard()
      throw mismatchError(remote.name, expected, `what came has ${sha256}`)
    }
    await partial.finish()
    this.#partial = undefined
    this.#report('downloading', bytes, bytes)
    const compared = remote.size === undefined ? 'none' : 'size'
    return {
      path: this.#options.to,
      bytes,
      sha256,
      verified: given !== undefined ? 'given' : remote.sha256 !== undefined ? 'hub' : compared,
      revision: remote.revision,
      url: remote.name,
    }
  }

  /** What the thread that hashes finds in the end. */
  async #digest(size: number): Promise<string> {
    this.#phase = 'verifying'
    const digest = this.#hasher!.digest(size)
    let abort = () => {}
    const aborted = new Promise<never>((_, reject) => {
      abort = () => reject(this.#signal.reason)
    })
    this.#signal.addEventListener('abort', abort)
    try {
      this.#signal.throwIfAborted()
      return await Promise.race([digest, aborted])
    } finally {
      this.#signal.removeEventListener('abort', abort)
    }
  }

  /** On the clock rather than with the data: reports, lets the hashing go on, saves the state. */
  #tick(): void {
    const partial = this.#partial
    try {
      const done = this.#phase === 'verifying' ? this.#hasher?.position : partial?.intervals.total
      this.#report(this.#phase, done ?? 0, this.#remote?.size ?? this.#options.bytes)
    } catch (error) {
      this.#failed.abort(error)
    }
    if (!partial || this.#phase === 'verifying') return
    this.#hasher?.advance(partial.intervals.prefix)
    if (performance.now() - this.#saved < this.#tuning.saveInterval) return
    this.#saved = performance.now()
    // A full disk shows in the data as well, and there it is told.
    partial.save().catch(() => {})
  }

  #report(phase: DownloadProgress['phase'], done: number, total: number | undefined): void {
    const speed = phase === 'verifying' ? this.#hashing : this.#speed
    const bytesPerSecond = speed.record(performance.now(), done)
    this.#options.onProgress?.({ phase, done, total, bytesPerSecond })
  }

  /** What is there and what is to be done, added to what went wrong. */
  async #explain(failure: unknown): Promise<unknown> {
    const error = failure instanceof AskAnew || failure instanceof Exhausted ? failure.cause : failure
    const { to } = this.#options
    const [done, missing] = [this.#partial?.intervals.total ?? 0, this.#partial?.missing]
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOSPC' || code === 'EDQUOT') {
      const free = (await freeSpace(dirname(to))) ?? 0
      return new Phi2Error(
        'PHI2_NO_SPACE',
        `${dirname(to)} is full: ${missing ?? 'some'} bytes of ${basename(to)} are missing and ${free} bytes are free. Make room there and start the download again.`,
        { cause: error },
      )
    }
    if (!(error instanceof HttpError) || !this.#isUseful()) return error
    const remark = ` ${done} of ${done + (missing ?? 0)} bytes are there: start it again to go on.`
    return new Phi2Error(error.code, error.message + remark, { cause: error })
  }

  /** Whether another call can go on with what there is. */
  #isUseful(): boolean {
    const [partial, remote] = [this.#partial, this.#remote]
    const there = partial?.intervals.total ?? 0
    return this.#inParts && remote !== undefined && hasIdentity(remote) && there > 0
  }

  /** After a failure. */
  async #leave(): Promise<void> {
    const [partial, useful] = [this.#partial, this.#isUseful()]
    this.#partial = undefined
    if (this.#lock.lost.aborted) await partial?.abandon()
    else if (useful) await partial?.close()
    else await partial?.discard()
  }
}

/** The result for a file that is there and was not read. */
export function present({ to, url }: DownloadOptions, size: number): DownloadResult {
  return { path: to, bytes: size, sha256: undefined, verified: 'size', revision: undefined, url: shownUrl(url) }
}

/** Undefined when there is nothing under that name. */
export async function sizeOf(path: string): Promise<number | undefined> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (found && !found.isFile()) throw new Phi2Error('PHI2_IO', `Expected the name of a file but ${path} is none.`)
  return found?.size
}

function mismatchError(name: string, expected: string, found: string): Phi2Error {
  return new Phi2Error('PHI2_CHECKSUM_MISMATCH', `Expected the sha256 ${expected} of ${name} but ${found}.`)
}
