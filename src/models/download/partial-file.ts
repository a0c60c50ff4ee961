import { type FileHandle, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { type Interval, Intervals } from './intervals.js'
import { type FileIdentity, sameFile } from './remote-file.js'

/** `<to>.partial.json`: what `<to>.partial` is a part of, and which part. */
interface State extends FileIdentity {
  version: 1
  intervals: Intervals
}

/** How far a download came, for one who waits for it in another process. */
export async function readProgress(to: string): Promise<{ done: number; total: number | undefined } | undefined> {
  const state = await readState(to)
  return state && { done: state.intervals.total, total: state.size }
}

/**
 * A file that is being downloaded: bytes come in any order into `<to>.partial`, and `<to>.partial.json` says which are
 * there. What it says is never ahead of what was written, so a killed process loses a second of its work at most. Only the
 * holder of the lock may have one open.
 */
export class PartialFile {
  readonly path: string
  readonly intervals: Intervals
  readonly #to: string
  readonly #identity: FileIdentity
  readonly #handle: FileHandle
  #saving: Promise<void> | undefined

  private constructor(to: string, identity: FileIdentity, handle: FileHandle, intervals: Intervals) {
    this.path = partialPath(to)
    this.intervals = intervals
    this.#to = to
    this.#identity = identity
    this.#handle = handle
  }

  /** Goes on with what there is of this very file, else begins anew. */
  static async open(to: string, identity: FileIdentity): Promise<PartialFile> {
    const { name, size, validator, sha256 } = identity
    const own = { name, size, validator, sha256 }
    const state = await readState(to)
    const there = await stat(partialPath(to)).catch(() => undefined)
    if (state && size !== undefined && there?.size === size && sameFile(state, own)) {
      return new PartialFile(to, own, await open(partialPath(to), 'r+'), state.intervals)
    }
    await removePartial(to)
    const handle = await open(partialPath(to), 'w+')
    const partial = new PartialFile(to, own, handle, new Intervals())
    try {
      // Takes no room yet, but shows at once a file system that cannot hold so large a file.
      if (size !== undefined) await handle.truncate(size)
      await partial.save()
      return partial
    } catch (error) {
      await partial.discard()
      throw error
    }
  }

  /** Bytes that are still missing; undefined when nobody knows how many there are. */
  get missing(): number | undefined {
    return this.#identity.size === undefined ? undefined : this.#identity.size - this.intervals.total
  }

  gaps(pieceSize: number): Interval[] {
    return this.intervals.gaps(this.#identity.size ?? 0, pieceSize)
  }

  async write(bytes: Buffer, position: number): Promise<void> {
    for (let offset = 0; offset < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, offset, bytes.length - offset, position + offset)
      offset += bytesWritten
    }
    this.intervals.add(position, position + bytes.length)
  }

  /** Takes down what is there; a second call while one is under way waits for it and does no more. */
  save(): Promise<void> {
    this.#saving ??= this.#save().finally(() => {
      this.#saving = undefined
    })
    return this.#saving
  }

  async #save(): Promise<void> {
    const state: State = { version: 1, ...this.#identity, intervals: this.intervals }
    const text = JSON.stringify(state)
    // Nobody will find out by a hash whether the machine lost power between the two.
    if (this.#identity.sha256 === undefined) await this.#handle.datasync()
    const temporaryPath = `${statePath(this.#to)}.new`
    try {
      await writeFile(temporaryPath, text)
      await rename(temporaryPath, statePath(this.#to))
    } catch (error) {
      await rm(temporaryPath, { force: true })
      throw error
    }
  }

  /** Every byte is on the disk afterwards. */
  async sync(): Promise<void> {
    await this.#saving?.catch(() => {})
    await this.#handle.sync()
  }

  /** Gives the file its name, after {@link sync}. */
  async finish(): Promise<void> {
    await this.#handle.close()
    await rename(this.path, this.#to)
    await removePartial(this.#to)
  }

  /** Leaves it for later. */
  async close(): Promise<void> {
    await this.#saving?.catch(() => {})
    // A full disk: the state of a moment ago stays, and claims less than there is.
    await this.save().catch(() => {})
    await this.abandon()
  }

  /** Leaves it to somebody else who has it by now. */
  async abandon(): Promise<void> {
    await this.#saving?.catch(() => {})
    await this.#handle.close()
  }

  async discard(): Promise<void> {
    await this.abandon()
    await removePartial(this.#to)
  }
}

function partialPath(to: string): string {
  return `${to}.partial`
}

function statePath(to: string): string {
  return `${to}.partial.json`
}

/** The state goes first: it must never speak of a file that is another one. */
export async function removePartial(to: string): Promise<void> {
  for (const path of [statePath(to), `${statePath(to)}.new`, partialPath(to)]) await rm(path, { force: true })
}

/** Undefined when there is none, or none to be believed. */
async function readState(to: string): Promise<State | undefined> {
  try {
    const state = JSON.parse(await readFile(statePath(to), 'utf8')) as State
    if (state.version !== 1 || typeof state.name !== 'string' || typeof state.validator !== 'object') return undefined
    return { ...state, intervals: Intervals.parse(state.intervals, state.size ?? Number.MAX_SAFE_INTEGER) }
  } catch {
    return undefined
  }
}
