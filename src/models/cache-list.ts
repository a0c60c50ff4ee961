import { readdir, rm } from 'node:fs/promises'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { checkText } from '../../gguf/checks.js'
import { SOURCE_FILE } from '../../gguf/source.js'
import { Phi2Error } from '../errors.js'
import {
  CHECKPOINTS,
  cacheFolder,
  diskBytes,
  MODELS,
  nameOfModelFile,
  type Provenance,
  readProvenance,
  refPath,
  removeEmpty,
} from './cache.js'
import { catalog } from './catalog.js'
import { checkpointLock, readRecord, removeCheckpoint } from './checkpoint-record.js'
import { acquireLock, type FileLock } from './download/lock.js'
import { formatRef, HUB_NAMES, HUBS } from './hub.js'

export interface CacheEntry {
  /** What `Phi2.load` and `phi2 cache rm` call it: `q4_k_m`, `hf:org/name/file.gguf`, `microsoft/phi-2`. */
  name: string
  kind: 'model' | 'checkpoint'
  /** The file, or the folder of a checkpoint. */
  path: string
  /** On disk, with what lies beside it. */
  bytes: number
  /** False for a download that was cut and will be resumed, and for what a killed process left. */
  complete: boolean
  /** Where it came from, as it would be pulled again. */
  source?: string
  revision?: string
  sha256?: string
  verified?: boolean
  license?: string
  /** ISO 8601. */
  date?: string
  /** Made here from the checkpoint that `source` names. */
  converted?: boolean
}

/**
 * What is in the cache, sorted by name. Files that this package did not put there are not listed.
 * @example
 * for (const { name, bytes } of await listCache()) console.log(name, bytes)
 */
export async function listCache(folder: string = cacheFolder()): Promise<CacheEntry[]> {
  const entries = [...(await listModels(folder)), ...(await listCheckpoints(folder))]
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/**
 * Removes models and checkpoints with all that lies beside them, and tells which they were.
 * @param names as {@link listCache} has them, or their paths
 * @throws {Phi2Error} `PHI2_MODEL_NOT_FOUND` for a name that is not in the cache, `PHI2_BUSY` while somebody downloads one;
 * then nothing is removed. A TypeError with `PHI2_INVALID_OPTION` for what is no name.
 */
export async function removeFromCache(
  names: string | readonly string[],
  folder: string = cacheFolder(),
): Promise<CacheEntry[]> {
  const all: readonly unknown[] = Array.isArray(names) ? names : [names]
  for (const name of all) checkText('names', name)
  const entries = await listCache(folder)
  const wanted = new Set<CacheEntry>()
  for (const name of all as readonly string[]) {
    const found = entries.filter((entry) => entry.name === name.toLowerCase() || isCalled(entry, name))
    if (found.length === 0) throw notCached(name, entries, folder)
    for (const entry of found) wanted.add(entry)
  }
  const locks: FileLock[] = []
  try {
    for (const entry of wanted) locks.push(await lockEntry(entry))
    for (const entry of wanted) await removeEntry(entry)
  } finally {
    for (const lock of locks) await lock.release()
    for (const { kind, path } of wanted) await removeEmpty(kind === 'checkpoint' ? path : dirname(path), folder)
  }
  return [...wanted]
}

function isCalled({ name, path }: CacheEntry, called: string): boolean {
  return name === called || path === resolve(called)
}

function notCached(name: string, entries: readonly CacheEntry[], folder: string): Phi2Error {
  const known = entries.map((entry) => entry.name).join(', ')
  return new Phi2Error(
    'PHI2_MODEL_NOT_FOUND',
    `${name} is not in the cache (${folder}). ${known === '' ? 'It is empty.' : `It has ${known}.`}`,
  )
}

async function listModels(folder: string): Promise<CacheEntry[]> {
  const root = join(folder, MODELS)
  const groups = new Map<string, string[]>()
  for (const path of await filesBelow(root)) {
    const main = mainFileOf(path)
    groups.set(main, [...(groups.get(main) ?? []), path])
  }
  const entries: CacheEntry[] = []
  for (const [path, files] of groups) {
    const provenance = await readProvenance(path)
    const name = modelNameOf(relative(root, path), provenance)
    if (name === undefined) continue
    const bytes = (await Promise.all(files.map(diskBytes))).reduce((sum, size) => sum + size, 0)
    const complete = files.includes(path)
    entries.push({ name, kind: 'model', path, complete, ...(complete ? provenance : {}), bytes })
  }
  return entries
}

/** Names that are put behind that of a file: its record, downloads and locks, and what is written beside and renamed. */
const SIDE_FILE = /\.(source\.json|partial(\.json(\.new)?)?|lock(\.[\w-]+\.\d+)?|[0-9a-f]{8}\.partial)$/

function mainFileOf(path: string): string {
  let main = path
  while (SIDE_FILE.test(main)) main = main.replace(SIDE_FILE, '')
  return main
}

/** Undefined for a file that is none of ours. */
function modelNameOf(path: string, provenance: Provenance | undefined): string | undefined {
  const [top = '', ...parts] = path.split(sep)
  if (parts.length === 0) return nameOfModelFile(top)
  if (top === 'url' && parts.length === 3) return provenance?.source ?? path
  const hub = HUB_NAMES.find((name) => HUBS[name].prefix === `${top}:`)
  const [org, name, revision, ...rest] = parts
  if (hub === undefined || rest.length === 0) return undefined
  return refName(hub, `${org}/${name}`, revision!, rest.join('/'))
}

function refName(hub: (typeof HUB_NAMES)[number], repository: string, folder: string, path?: string): string {
  const revision = decodeURIComponent(folder)
  return formatRef({ hub, repository, path, ...(revision === HUBS[hub].mainBranch ? {} : { revision }) })
}

async function listCheckpoints(folder: string): Promise<CacheEntry[]> {
  const root = join(folder, CHECKPOINTS)
  const files = await filesBelow(root)
  const { name: original, sources } = catalog.checkpoint
  const entries: CacheEntry[] = []
  for (const record of files.filter((path) => path.endsWith(`${sep}${SOURCE_FILE}`))) {
    const path = dirname(record)
    const [top, org, name, revision, ...rest] = relative(root, path).split(sep)
    const hub = HUB_NAMES.find((one) => HUBS[one].prefix === `${top}:`)
    if (hub === undefined || revision === undefined || rest.length > 0) continue
    const own = files.filter((file) => file.startsWith(path + sep))
    const bytes = (await Promise.all(own.map(diskBytes))).reduce((sum, size) => sum + size, 0)
    const { complete = false, date, source } = (await readRecord(path)) ?? {}
    const isOriginal = path === refPath(sources.huggingface, folder)
    entries.push({
      name: isOriginal ? original : refName(hub, `${org}/${name}`, revision),
      kind: 'checkpoint',
      path,
      complete,
      ...(source !== undefined && { source }),
      ...(date !== undefined && { date }),
      bytes,
    })
  }
  return entries
}

/** Links are listed as files and never followed. */
async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => [])
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name))
}

/** Keeps others from downloading what is about to be removed, unless they are at it. */
function lockEntry({ kind, name, path }: CacheEntry): Promise<FileLock> {
  return acquireLock(kind === 'checkpoint' ? checkpointLock(path) : `${path}.lock`, {
    onWait: () => {
      throw new Phi2Error('PHI2_BUSY', `${name} is being downloaded or made right now. Try again when that is done.`)
    },
  })
}

async function removeEntry({ kind, path }: CacheEntry): Promise<void> {
  if (kind === 'checkpoint') return removeCheckpoint(path)
  for (const file of await filesBelow(dirname(path))) {
    if (mainFileOf(file) === path && file !== `${path}.lock`) await rm(file, { force: true })
  }
}
