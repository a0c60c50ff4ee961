import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findModel } from '../models/catalog.js'
import { locate, parseRemoteRef, type RemoteRef } from '../models/hub.js'
import { modelName } from '../models/names.js'
import { resolveModel } from '../models/resolve.js'

/** A model to be planned with: its file, or one in its place. */
export interface PlannedFile {
  model: string | undefined
  /** What the file stands for, where it is not that itself. */
  standsFor?: string
}

/**
 * Lends the model's file, or, where it was not downloaded yet, one with its header and a hole for its weights: all that a plan
 * reads, in 2 MB instead of gigabytes.
 * @throws {Phi2Error} the codes of `resolveModel`, and `PHI2_DOWNLOAD_FAILED`, `PHI2_ACCESS_DENIED`, `PHI2_INVALID_GGUF`
 */
export async function withFile<T>(
  model: string | undefined,
  signal: AbortSignal | undefined,
  use: (file: PlannedFile) => Promise<T>,
): Promise<T> {
  const remote = remoteOf(model)
  if (remote === undefined) return use({ model })
  const folder = await mkdtemp(join(tmpdir(), 'phi2-plan-'))
  try {
    const path = join(folder, 'header.gguf')
    await writeStandIn(path, remote, signal)
    return await use({ model: path, standsFor: locate(remote).source })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Where a file lies that is not in the cache. */
function remoteOf(model: string | undefined): RemoteRef | undefined {
  try {
    const found = resolveModel(model)
    return 'reference' in found ? parseRemoteRef(found.reference) : undefined
  } catch (error) {
    const name = model === undefined ? undefined : modelName(model)
    const known = name === undefined ? undefined : findModel(name)
    if (known === undefined) throw error
    return known.sources[0]
  }
}

async function writeStandIn(path: string, ref: RemoteRef, signal: AbortSignal | undefined): Promise<void> {
  const [{ align }, { readHeaderFrom }, { RemoteSource }] = await Promise.all([
    import('../../gguf/format.js'),
    import('../../gguf/read.js'),
    import('../../gguf/remote-source.js'),
  ])
  const { headers, source, url } = locate(ref)
  const remote = new RemoteSource(source, url, headers)
  const pieces: Uint8Array[] = []
  const { alignment, dataOffset, tensors } = await readHeaderFrom(
    {
      name: remote.name,
      firstRead: remote.firstRead,
      get size() {
        return remote.size
      },
      async read(...where) {
        const bytes = await remote.read(...where)
        pieces.push(bytes)
        return bytes
      },
      close: () => remote.close(),
    },
    signal,
  )
  const { byteLength = 0, offset = 0 } = tensors.at(-1) ?? {}
  const file = await open(path, 'wx')
  try {
    await file.write(Buffer.concat(pieces).subarray(0, dataOffset))
    await file.truncate(dataOffset + align(offset + byteLength, alignment))
  } finally {
    await file.close()
  }
}
