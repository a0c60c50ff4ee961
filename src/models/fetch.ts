import { stat } from 'node:fs/promises'
import { FileHasher } from './download/hasher.js'
import { type DownloadProgress, download } from './download.js'
import { type Environment, type HubRef, isHubRef, locate, type RemoteRef } from './hub.js'
import { type ListedFile, listModelScope } from './modelscope.js'

export interface FetchOptions {
  ref: RemoteRef
  to: string
  /** What is known of the file beforehand. */
  bytes?: number | undefined
  sha256?: string | undefined
  /** What ModelScope says of the repository, where it was asked already. */
  listed?: ReadonlyMap<string, ListedFile> | undefined
  environment: Environment
  signal?: AbortSignal | undefined
  onProgress?: ((progress: DownloadProgress) => void) | undefined
}

export interface Fetched {
  path: string
  bytes: number
  sha256: string
  /** The hash agrees with one that was known, or that the hub told. */
  verified: boolean
  /** The commit, where the hub tells it. */
  revision: string | undefined
}

/** Downloads one file to its place, whose folder is made, unless it is there and has the right hash. */
export async function fetchFile(options: FetchOptions): Promise<Fetched> {
  const { ref, to, environment, onProgress, signal } = options
  const listed = isHubRef(ref) && ref.hub === 'modelscope' ? await listing(ref, options) : undefined
  const { headers, url } = locate(ref, environment)
  const sha256 = options.sha256 ?? listed?.sha256
  const bytes = options.bytes ?? listed?.bytes
  // A file that is there has to be read for its hash in any case.
  const result = await download({ url, to, bytes, sha256, headers, verify: true, signal, onProgress })
  const { path, revision } = result
  return {
    path,
    bytes: result.bytes,
    sha256: result.sha256 ?? (await hashFile(path)),
    verified: result.verified === 'given' || result.verified === 'hub',
    revision,
  }
}

async function listing(ref: HubRef, { listed, environment, signal }: FetchOptions): Promise<ListedFile | undefined> {
  return (listed ?? (await listModelScope(ref, environment, signal))).get(ref.path ?? '')
}

/** The sha256 of a file, computed on a thread of its own. */
export async function hashFile(path: string): Promise<string> {
  const hasher = new FileHasher(path)
  try {
    return await hasher.digest((await stat(path)).size)
  } finally {
    await hasher.close()
  }
}
