import { type ChildProcess, spawn } from 'node:child_process'
import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Phi2Error } from './errors.js'

/** Milliseconds between two looks at how far a download is. */
const POLL_MS = 250

/** The npm that runs this process, if one does: another on the PATH may have other settings. */
export function npmCommand(): { command: string; args: string[] } {
  const cli = process.env.npm_execpath
  if (cli && basename(cli) === 'npm-cli.js') return { command: process.execPath, args: [cli] }
  return { command: process.platform === 'win32' ? 'npm.cmd' : 'npm', args: [] }
}

/** Arguments of `npm pack` for a package of the registry, and the environment for it. */
export function packCommand(spec: string, folder: string): { args: string[]; env: NodeJS.ProcessEnv } {
  return {
    args: ['pack', spec, '--json', '--ignore-scripts', '--pack-destination', folder],
    // A parent `npm ci --ignore-scripts`, `npm pack --dry-run` or `npm run --silent` must not change what this inner call does.
    env: { ...process.env, npm_config_dry_run: 'false', npm_config_json: 'true', npm_config_loglevel: 'error' },
  }
}

/** The file that `npm pack --json` names: npm 11 prints an array, npm 12 an object keyed by package name. */
export function packedName(json: string): string | undefined {
  const packed = JSON.parse(json.slice(json.search(/[[{]/))) as Record<string, { filename: string }>
  // npm 8 and earlier name a scoped package's file as if it lay in a folder.
  return Object.values(packed)[0]?.filename.replace(/^@/, '').replaceAll('/', '-')
}

export function firstError(output: string): string {
  const lines = output.split('\n').map((line) => line.trim())
  return lines.find((line) => /error/i.test(line)) ?? lines.find((line) => line !== '') ?? 'no reason given'
}

export interface FetchOptions {
  signal?: AbortSignal | undefined
  /** Gets the bytes that have come, from time to time. */
  onProgress?: ((bytes: number) => void) | undefined
}

/**
 * Fetches a package's tarball through the user's own npm settings (registry, token, proxy, cache) into `folder`, and gives
 * its path.
 * @throws {Phi2Error} `PHI2_DOWNLOAD_FAILED`; the signal's reason when it aborts.
 */
export async function fetchPackage(spec: string, folder: string, options: FetchOptions = {}): Promise<string> {
  const { onProgress, signal } = options
  signal?.throwIfAborted()
  const { args, env } = packCommand(spec, folder)
  const pack = run(args, env, signal)
  const done = new AbortController()
  const watching = onProgress && watchCache(onProgress, done.signal)
  try {
    const { output, status } = await pack
    signal?.throwIfAborted()
    const name = status === 0 ? packedName(output) : undefined
    if (name === undefined) throw failed(spec, firstError(output))
    return join(folder, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw failed(spec, 'npm was not found')
  } finally {
    done.abort()
    await watching
  }
}

function failed(spec: string, reason: string): Phi2Error {
  return new Phi2Error(
    'PHI2_DOWNLOAD_FAILED',
    `Could not fetch ${spec}: ${reason}. Check the network and npm’s registry setting (\`npm ping\`).`,
  )
}

async function run(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<{ status: number | null; output: string }> {
  const npm = npmCommand()
  const child: ChildProcess = spawn(npm.command, [...npm.args, ...args], {
    env,
    shell: npm.command === 'npm.cmd', // a batch file
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const stop = () => child.kill()
  signal?.addEventListener('abort', stop)
  let stdout = ''
  let stderr = ''
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  try {
    const status = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', resolve)
    })
    return { status, output: status === 0 ? stdout : `${stderr}\n${stdout}` }
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

/** npm shows no progress of a single tarball, but the file that it writes into its cache can be seen growing. */
async function watchCache(onProgress: (bytes: number) => void, done: AbortSignal): Promise<void> {
  const { output, status } = await run(['config', 'get', 'cache'], process.env, done).catch(() => ({
    output: '',
    status: 1,
  }))
  if (status !== 0) return
  const folder = join(output.trim(), '_cacache', 'tmp')
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
