import { openUrl } from './http.js'
import { type Environment, HUBS, type HubRef, hubEndpoint } from './hub.js'

export interface ListedFile {
  bytes: number | undefined
  sha256: string | undefined
}

/** No repository of a model has a list of this size. */
const MAX_LIST_BYTES = 4 << 20

/**
 * What ModelScope says of the files of a repository. Its downloads carry no hash, this list does. Empty when it cannot be
 * had: then files are checked by their size alone.
 */
export async function listModelScope(
  ref: HubRef,
  environment: Environment,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, ListedFile>> {
  const endpoint = ref.endpoint ?? hubEndpoint('modelscope', environment)
  const query = new URLSearchParams({ Revision: ref.revision ?? HUBS.modelscope.mainBranch, Recursive: 'true' })
  try {
    const url = `${endpoint}/api/v1/models/${ref.repository}/repo/files?${query}`
    const { body } = await openUrl(url, { signal })
    const chunks: Buffer[] = []
    let length = 0
    for await (const chunk of body) {
      chunks.push(chunk)
      length += chunk.length
      if (length > MAX_LIST_BYTES) return new Map()
    }
    const list = (JSON.parse(Buffer.concat(chunks).toString()) as { Data?: { Files?: unknown } }).Data?.Files
    return new Map(Array.isArray(list) ? list.flatMap(listedFile) : [])
  } catch {
    signal?.throwIfAborted()
    return new Map()
  }
}

function listedFile(entry: unknown): [string, ListedFile][] {
  const { Path: path, Sha256: sha256, Size: size } = (entry ?? {}) as Record<string, unknown>
  if (typeof path !== 'string') return []
  const file: ListedFile = {
    bytes: typeof size === 'number' && Number.isSafeInteger(size) && size > 0 ? size : undefined,
    sha256: typeof sha256 === 'string' && /^[0-9a-f]{64}$/i.test(sha256) ? sha256.toLowerCase() : undefined,
  }
  return [[path, file]]
}
