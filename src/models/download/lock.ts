import { randomUUID } from 'node:crypto'
import { mkdir, readFile, readlink, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export interface LockTiming {
  /** Milliseconds between two signs of life of a holder. */
  heartbeat: number
  /** Milliseconds without a sign of life, as seen by one who waits all the while, after which a holder is dead. */
  patience: number
  /** Milliseconds between two looks at somebody else's lock. */
  poll: number
}

export const defaultLockTiming: LockTiming = { heartbeat: 2000, patience: 60_000, poll: 250 }

export interface AcquireOptions {
  timing?: LockTiming
  signal?: AbortSignal | undefined
  /** Called after each look at a lock that somebody else holds. */
  onWait?: (() => Promise<void> | void) | undefined
}

export interface FileLock {
  /** Somebody else held it before. */
  waited: boolean
  /** Aborts when the lock was taken away, because this process stood still for too long. */
  lost: AbortSignal
  /** Before a step that only the holder may take: rejects, and aborts `lost`, when that is somebody else by now. */
  confirm(): Promise<void>
  release(): Promise<void>
}

/**
 * Waits until this call alone holds the lock file `path`, between the calls of a process and between processes alike. Its
 * folder is made, and made anew when a holder before has removed it.
 *
 * A lock is stale when its process is gone (told at once on the same machine) or gave no sign of life for long (another
 * machine, a reused process id). Times of different clocks are never compared: who waits measures by its own clock how
 * long the file's time of change stands still. `proper-lockfile` cannot tell a dead process from a slow one, so it would
 * wait for the whole time after a kill, and two of its waiters can both take over (each removes what it thinks is stale).
 */
export async function acquireLock(path: string, options: AcquireOptions = {}): Promise<FileLock> {
  const { timing = defaultLockTiming, signal, onWait } = options
  const mine = JSON.stringify({ token: randomUUID(), pid: process.pid, machine: await machine() })
  const watch = new Watch(timing.patience)
  for (let waited = false; ; waited = true) {
    signal?.throwIfAborted()
    if (await create(path, mine)) return hold(path, mine, waited, timing)
    const seen = await watch.look(path)
    if (seen && (await watch.isDead(seen)) && (await takeOver(path, seen, mine, watch))) {
      return hold(path, mine, waited, timing)
    }
    await onWait?.()
    await sleep(timing.poll, undefined, { signal }).catch(() => signal?.throwIfAborted())
  }
}

/** A lock or a claim as it was found. */
interface Sighting {
  content: string
  changed: number
  /** Since when it looks like this, by this process's clock, which also stands still while the machine sleeps. */
  since: number
}

/** Tells the dead from the slow by looking again and again. */
class Watch {
  readonly #patience: number
  readonly #sightings = new Map<string, Sighting>()

  constructor(patience: number) {
    this.#patience = patience
  }

  async look(path: string): Promise<Sighting | undefined> {
    const found = await read(path)
    const before = this.#sightings.get(path)
    if (found === undefined) this.#sightings.delete(path)
    else if (before === undefined || !isSame(before, found)) this.#sightings.set(path, found)
    return this.#sightings.get(path)
  }

  async isDead(sighting: Sighting): Promise<boolean> {
    if (performance.now() - sighting.since > this.#patience) return true
    const holder = parseHolder(sighting.content)
    return holder !== undefined && holder.machine === (await machine()) && !isAlive(holder.pid)
  }
}

async function read(path: string): Promise<Sighting | undefined> {
  try {
    const content = await readFile(path, 'utf8')
    return { content, changed: (await stat(path)).mtimeMs, since: performance.now() }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function isSame(a: Sighting, b: Sighting | undefined): boolean {
  return a.content === b?.content && a.changed === b.changed
}

/**
 * Puts `mine` in the place of a stale lock. Of all who found the same lock stale, one makes the claim named after it, sees
 * that the lock is still the stale one, and replaces it; whoever comes later finds either the claim or another lock. A
 * claim whose maker is dead in turn is passed over by making the next one.
 */
async function takeOver(path: string, stale: Sighting, mine: string, watch: Watch): Promise<boolean> {
  const name = `${path}.${parseHolder(stale.content)?.token ?? 'unreadable'}`
  const passed: string[] = []
  let claim = `${name}.1`
  while (!(await create(claim, mine))) {
    const other = await watch.look(claim)
    // One that is gone by now belongs to somebody who is done: the lock is another one.
    if (!other || !(await watch.isDead(other))) return false
    passed.push(claim)
    claim = `${name}.${passed.length + 1}`
  }
  if (!isSame(stale, await read(path))) {
    await rm(claim, { force: true })
    return false
  }
  await rename(claim, path)
  // Only now the others may go: whoever makes one of them from here on sees another lock.
  for (const dead of passed) await rm(dead, { force: true })
  return true
}

function hold(path: string, mine: string, waited: boolean, timing: LockTiming): FileLock {
  const lost = new AbortController()
  const isMine = async () => (await read(path))?.content === mine
  const confirm = async () => {
    try {
      if (!(await isMine())) throw new Error('the lock is held by another process')
      await utimes(path, new Date(), new Date())
    } catch (error) {
      clearInterval(timer)
      lost.abort(error)
      throw error
    }
  }
  const timer = setInterval(() => confirm().catch(() => {}), timing.heartbeat)
  timer.unref()
  return {
    waited,
    lost: lost.signal,
    confirm,
    async release() {
      clearInterval(timer)
      if (await isMine()) await rm(path, { force: true })
    },
  }
}

/** False when there is such a file. */
async function create(path: string, content: string): Promise<boolean> {
  try {
    await writeFile(path, content, { flag: 'wx' })
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return false
    if (code === 'ENOENT') {
      await mkdir(dirname(path), { recursive: true })
      return create(path, content)
    }
    // On a full disk the file is made and its content is not.
    if (code === 'ENOSPC' || code === 'EDQUOT') await rm(path, { force: true })
    throw error
  }
}

/** Undefined for one that was killed between making its file and writing it. */
function parseHolder(content: string): { token: string; pid: number; machine: string } | undefined {
  try {
    const { token, pid, machine } = JSON.parse(content)
    return /^[\w-]{36}$/.test(token) && Number.isInteger(pid) && pid > 0 ? { token, pid, machine } : undefined
  } catch {
    return undefined
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

let thisMachine: Promise<string> | undefined

/** Where process ids mean the same: containers can share a host's name, but each counts its processes by itself. */
function machine(): Promise<string> {
  thisMachine ??= readlink('/proc/self/ns/pid').then(
    (namespace) => `${hostname()} ${namespace}`,
    () => hostname(),
  )
  return thisMachine
}
