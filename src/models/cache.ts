import { createHash } from 'node:crypto'
import { readdir, readFile, rm, rmdir, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { writeAtomically } from '../../gguf/atomic-file.js'
import { type Environment, HUBS, isHubRef, locate, type RemoteRef } from './hub.js'

/**
 * The folder that downloads go to: `PHI2_CACHE`, else where the system keeps such things. Its layout is for people, too:
 *
 * ```
 * models/phi-2-q4_k_m.gguf                               by the name of its type
 * models/hf/org/name/main/file.gguf                      by reference: hub, repository, revision, path
 * models/url/host/1a2b3c4d/file.gguf                     by address
 * checkpoints/hf/microsoft/phi-2/ef382358…/config.json   whole repositories
 * ```
 *
 * Beside each model lies `….source.json`, which says where it came from.
 */
export function cacheFolder(environment: Environment = process.env, platform: string = process.platform): string {
  if (environment.PHI2_CACHE) return resolve(environment.PHI2_CACHE)
  const home = environment.HOME || homedir()
  if (platform === 'darwin') return join(home, 'Library', 'Caches', 'phi2')
  if (platform !== 'win32') return join(absolute(environment.XDG_CACHE_HOME) ?? join(home, '.cache'), 'phi2')
  return join(environment.LOCALAPPDATA || join(homedir(), 'AppData', 'Local'), 'phi2', 'Cache')
}

/** The XDG specification has relative paths ignored. */
function absolute(path: string | undefined): string | undefined {
  return path?.startsWith('/') ? path : undefined
}

/** The file in the cache whose presence says that the command line's offer to download was answered with no. */
export const DECLINED = 'offer-declined'

export const MODELS = 'models'
export const CHECKPOINTS = 'checkpoints'

/** Where the model of a type lies, whether it was downloaded or made here. */
export function namedModelPath(name: string, folder: string = cacheFolder()): string {
  return join(folder, MODELS, `phi-2-${name}.gguf`)
}

/** The other way round: the type that a file at the top of `models/` is named after. */
export function nameOfModelFile(fileName: string): string | undefined {
  return /^phi-2-([a-z0-9_]+)\.gguf$/.exec(fileName)?.[1]
}

/** Where a file, or the checkpoint of a whole repository, lies that was pulled by its reference. */
export function refPath(ref: RemoteRef, folder: string = cacheFolder()): string {
  if (!isHubRef(ref)) {
    const { host } = new URL(ref.url)
    const key = createHash('sha256').update(ref.url).digest('hex').slice(0, 8)
    return join(folder, MODELS, 'url', host.replace(/[^\w.-]/g, '_'), key, locate(ref).fileName)
  }
  const { hub, path, repository } = ref
  const kind = path === undefined ? CHECKPOINTS : MODELS
  const prefix = HUBS[hub].prefix.slice(0, -1)
  const revision = encodeURIComponent(ref.revision ?? HUBS[hub].mainBranch)
  return join(folder, kind, prefix, repository, revision, path ?? '')
}

/** Where a file in the cache came from. No token and no query of an address is in it. */
export interface Provenance {
  /** As it would be pulled again: `hf:org/name/file@revision`, an address without its query. */
  source: string
  /** `org/name` of a hub. */
  repository?: string
  /** The commit, where the hub tells it; else the branch or tag asked for. */
  revision?: string
  bytes: number
  sha256: string
  /** The hash agrees with the catalog's or the hub's; or the file was made here from such files. */
  verified: boolean
  license?: string
  /** ISO 8601. */
  date: string
  /** Made here, from the checkpoint that `source` names. */
  converted?: boolean
}

const PROVENANCE = '.source.json'

function provenancePath(path: string): string {
  return `${path}${PROVENANCE}`
}

export async function writeProvenance(path: string, provenance: Provenance): Promise<void> {
  const text = `${JSON.stringify(provenance, null, 2)}\n`
  await writeAtomically(provenancePath(path), (temporaryPath) => writeFile(temporaryPath, text))
}

/** Undefined when nothing is known: a file is of use without. */
export async function readProvenance(path: string): Promise<Provenance | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(provenancePath(path), 'utf8'))
    return typeof value === 'object' && value !== null && 'source' in value ? (value as Provenance) : undefined
  } catch {
    return undefined
  }
}

/** Removes a folder and those above it, as far as they are empty, but for the cache's own. */
export async function removeEmpty(path: string, folder: string): Promise<void> {
  for (let at = path; at.startsWith(folder + sep) && dirname(at) !== folder; at = dirname(at)) {
    try {
      await rmdir(at)
    } catch {
      return
    }
  }
}

/** What a file takes up: of a download that has holes only what has come. */
export async function diskBytes(path: string): Promise<number> {
  const file = await stat(path).catch(() => undefined)
  if (!file) return 0
  return path.endsWith('.partial') && file.blocks ? Math.min(file.size, file.blocks * 512) : file.size
}

/** Removes what killed processes left of files and folders that they wrote beside `path`. For the holder of its lock. */
export async function removeLeftovers(path: string): Promise<void> {
  const [folder, name] = [dirname(path), basename(path)]
  for (const file of await readdir(folder)) {
    const isLeft = file.startsWith(name) && /^(\.[0-9a-f]{8}\.partial)+$/.test(file.slice(name.length))
    if (isLeft) await rm(join(folder, file), { force: true, recursive: true })
  }
}
