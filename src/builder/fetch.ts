import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { packTarball } from '../npm.js'
import { buildError } from './run.js'

/** A package of the npm registry, down to the last byte of its tarball. */
export interface PackagePin {
  package: string
  version: string
  integrity: string
}

interface FetchOptions {
  /** What the package is needed for, as a clause: `carries the engine's sources`. */
  which: string
  /** A way around it, as the end of a sentence. */
  remedy?: string
  signal?: AbortSignal | undefined
}

/**
 * Fetches a package's tarball into `folder` through the user's own npm, with its registry, proxy and cache.
 * @throws {Phi2Error} `PHI2_BUILD_FAILED` when it cannot be had or is not the pinned one.
 */
export async function fetchTarball(pin: PackagePin, folder: string, options: FetchOptions): Promise<string> {
  const { remedy = '', signal, which } = options
  const spec = `${pin.package}@${pin.version}`
  const packed = await packTarball(spec, folder, { signal })
  if ('reason' in packed) {
    throw buildError(
      `Could not fetch ${spec}, which ${which}: ${packed.reason}\n` +
        `Check the network and npm’s registry setting (\`npm ping\`)${remedy}.`,
    )
  }
  const file = packed.path
  const digest = `sha512-${createHash('sha512')
    .update(await readFile(file))
    .digest('base64')}`
  if (digest !== pin.integrity) {
    throw buildError(
      `The integrity of ${spec} is wrong: expected ${pin.integrity} but found ${digest}. The registry served another file.`,
    )
  }
  return file
}
