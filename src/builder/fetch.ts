import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { buildError, firstError, run } from './run.js'

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
  const npm = npmCommand()
  const args = [...npm.args, 'pack', spec, '--json', '--ignore-scripts', '--prefer-offline']
  const { output, status, stdout } = await run(npm.command, [...args, '--pack-destination', folder], {
    // A parent `npm ci --ignore-scripts`, `npm pack --dry-run` or `npm run --silent` must not change what this inner call does.
    env: { ...process.env, npm_config_dry_run: 'false', npm_config_json: 'true', npm_config_loglevel: 'error' },
    signal,
  })
  if (status !== 0) {
    throw buildError(
      `Could not fetch ${spec}, which ${which}: ${firstError(output)}\n` +
        `Check the network and npm’s registry setting (\`npm ping\`)${remedy}.`,
    )
  }
  const file = join(folder, tarballName(stdout))
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

// npm 11 prints an array, npm 12 an object keyed by package name.
function tarballName(json: string): string {
  const packed = JSON.parse(json.slice(json.search(/[[{]/))) as Record<string, { filename: string }>
  const first = Object.values(packed)[0]
  if (!first) throw buildError('npm pack named no file.')
  return basename(first.filename)
}

/** The npm that runs this process, if one does: another on the PATH may have other settings. */
export function npmCommand(): { command: string; args: string[] } {
  const cli = process.env.npm_execpath
  if (cli && basename(cli) === 'npm-cli.js') return { command: process.execPath, args: [cli] }
  return { command: process.platform === 'win32' ? 'npm.cmd' : 'npm', args: [] }
}
