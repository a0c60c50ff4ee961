import { stat } from 'node:fs/promises'
import { basename, join, resolve, sep } from 'node:path'
import { isFolder } from '../../gguf/folder.js'
import { Phi2Error } from '../errors.js'
import { cacheFolder, type Provenance, readProvenance, writeProvenance } from './cache.js'
import { type Fetched, fetchFile, hashFile } from './fetch.js'
import { HttpError } from './http.js'
import { formatRef, isHubRef } from './hub.js'
import type { PullContext, PullOptions, PullResult } from './pull.js'
import type { FileSource, FileTarget } from './pull-target.js'

/** The steps of a pull that the phases of a download are. */
export const PHASES = { downloading: 'download', retrying: 'retry', waiting: 'wait', verifying: 'verify' } as const

/** Downloads a GGUF file, unless it is there. */
export async function pullFile(target: FileTarget, options: PullOptions, context: PullContext): Promise<PullResult> {
  const { force = false, to } = options
  const path = await destination(to, target.path)
  const there = force ? undefined : await fileSize(path)
  if (there !== undefined) return isCached(path, context) ? fromCache(target, path) : fromElsewhere(target, path, there)

  const { fetched, source } = await fetchFirst(target, path, options, context)
  const provenance: Provenance = {
    source: formatRef(source.ref),
    ...(isHubRef(source.ref) && { repository: source.ref.repository }),
    ...revisionOf(source, fetched),
    bytes: fetched.bytes,
    sha256: fetched.sha256,
    verified: fetched.verified,
    ...(source.license !== undefined && { license: source.license }),
    date: new Date().toISOString(),
  }
  if (isCached(path, context)) await writeProvenance(path, provenance)
  return { ...resultOf(provenance, path), cached: false }
}

function revisionOf({ ref }: FileSource, { revision }: Fetched): { revision?: string } {
  const asked = isHubRef(ref) ? ref.revision : undefined
  const known = revision ?? asked
  return known === undefined ? {} : { revision: known }
}

/** The first source that has the file: repositories are taken down at times. */
async function fetchFirst(
  { name, sources }: FileTarget,
  to: string,
  { onProgress, signal }: PullOptions,
  { environment }: PullContext,
): Promise<{ fetched: Fetched; source: FileSource }> {
  let failure: unknown
  for (const source of sources) {
    try {
      const { bytes, ref, sha256 } = source
      const file = basename(to)
      const fetched = await fetchFile({
        ref,
        to,
        bytes,
        sha256,
        environment,
        signal,
        onProgress: ({ phase, ...progress }) => onProgress?.({ step: PHASES[phase], file, ...progress }),
      })
      return { fetched, source }
    } catch (error) {
      if (!isGone(error)) throw error
      failure ??= error
    }
  }
  throw failure ?? new Phi2Error('PHI2_UNKNOWN_MODEL', `No source of ${name} is known.`)
}

function isGone(error: unknown): boolean {
  return error instanceof HttpError && [401, 403, 404, 410].includes(error.status ?? 0)
}

/** What was pulled before. A file whose record is lost is as good, only nothing is known of it. */
async function fromCache({ sources }: FileTarget, path: string): Promise<PullResult> {
  const provenance = await readProvenance(path)
  if (provenance) return { ...resultOf(provenance, path), cached: true }
  const [bytes, sha256] = [(await stat(path)).size, await hashFile(path)]
  const source = sources.find((one) => one.sha256 === sha256)
  return {
    path,
    bytes,
    sha256,
    verified: source !== undefined,
    source: source ? formatRef(source.ref) : path,
    license: source?.license,
    cached: true,
  }
}

/** A file where the caller wants one: good if it is known to be the one wanted, and else not to be written over. */
async function fromElsewhere({ name, sources }: FileTarget, path: string, bytes: number): Promise<PullResult> {
  const possible = sources.filter((one) => one.sha256 !== undefined && (one.bytes ?? bytes) === bytes)
  const sha256 = possible.length > 0 ? await hashFile(path) : undefined
  const source = possible.find((one) => one.sha256 === sha256)
  if (source) {
    return { path, bytes, sha256, verified: true, source: formatRef(source.ref), license: source.license, cached: true }
  }
  throw new Phi2Error(
    'PHI2_IO',
    `${path} exists already, and nothing shows that it is ${name}. Choose another place, or force (--force) to replace it.`,
  )
}

export function resultOf({ bytes, license, sha256, source, verified }: Provenance, path: string) {
  return { path, bytes, sha256, verified, source, license }
}

/** Where a file goes: into the folder, or under the name, that the caller gave; else to its place in the cache. */
export async function destination(to: string | undefined, cached: string): Promise<string> {
  if (to === undefined) return cached
  return /[/\\]$/.test(to) || (await isFolder(to)) ? join(resolve(to), basename(cached)) : resolve(to)
}

export function isCached(path: string, { environment }: PullContext): boolean {
  return path.startsWith(cacheFolder(environment) + sep)
}

export async function fileSize(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size
}
