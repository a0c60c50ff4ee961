import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { firstError, run } from './builder/run.js'

/** Milliseconds between two looks at how far a download is. */
const POLL_MS = 250

/** The npm that runs this process, if one does: another on the PATH may have other settings. */
export function npmCommand(): { command: string; args: string[] } {
  const cli = process.env.npm_execpath
  if (cli && basename(cli) === 'npm-cli.js') return { command: process.execPath, args: [cli] }
  return { command: process.platform === 'win32' ? 'npm.cmd' : 'npm', args: [] }
}

export interface PackOptions {
  signal?: AbortSignal | undefined
  /** Gets the bytes that have come, from time to time. */
  onProgress?: ((bytes: number) => void) | undefined
}

/**
 * Fetches a package's tarball into `folder` through the user's own npm, with its registry, token, proxy and cache. Gives its
 * path, or why it could not be had.
 * @throws the signal's reason
 */
export async function packTarball(
  spec: string,
  folder: string,
  { onProgress, signal }: PackOptions = {},
): Promise<{ path: string } | { reason: string }> {
  const npm = npmCommand()
  const args = [...npm.args, 'pack', spec, '--json', '--ignore-scripts', '--prefer-offline']
  const done = new AbortController()
  const watching = onProgress && watchCache(onProgress, done.signal)
  try {
    const { output, status, stdout } = await run(npm.command, [...args, '--pack-destination', folder], {
      // A parent `npm ci --ignore-scripts`, `npm pack --dry-run` or `npm run --silent` must not change what this inner call does.
      env: { ...process.env, npm_config_dry_run: 'false', npm_config_json: 'true', npm_config_loglevel: 'error' },
      signal,
    })
    if (status !== 0) return { reason: firstError(output) }
    const name = tarballName(stdout)
    return name === undefined ? { reason: 'npm pack named no file' } : { path: join(folder, name) }
  } finally {
    done.abort()
    await watching
  }
}

// npm 11 prints an array, npm 12 an object keyed by package name.
function tarballName(json: string): string | undefined {
  const packed = JSON.parse(json.slice(json.search(/[[{]/))) as Record<string, { filename: string }>
  const first = Object.values(packed)[0]
  return first && basename(first.filename)
}

/** npm shows no progress of a single tarball, but the file that it writes into its cache can be seen growing. */
async function watchCache(onProgress: (bytes: number) => void, done: AbortSignal): Promise<void> {
  const npm = npmCommand()
  const asked = run(npm.command, [...npm.args, 'config', 'get', 'cache'], { signal: done })
  const { status, stdout } = await asked.catch(() => ({ status: 1, stdout: '' }))
  if (status !== 0) return
  const folder = join(stdout.trim(), '_cacache', 'tmp')
  const before = new Set(await readdir(folder).catch(() => []))
  let most = 0
  while (!done.aborted) {
    for (const name of await readdir(folder).catch(() => [])) {
      if (before.has(name)) continue
      const bytes = (await stat(join(folder, name)).catch(() => undefined))?.size ?? 0
      if (bytes <= most) continue
      most = bytes
      onProgress(bytes)
    }
    await sleep(POLL_MS, undefined, { signal: done }).catch(() => {})
  }
}
