import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import { Phi2Error } from '../errors.js'

export interface RunOptions {
  env?: NodeJS.ProcessEnv
  signal?: AbortSignal | undefined
  /** Called for every line of either stream as it comes. */
  onLine?: ((line: string) => void) | undefined
}

export interface Ran {
  /** 0 when all went well; null when a signal ended it, or when it did not start at all. */
  status: number | null
  /** That ended it. */
  endedBy: NodeJS.Signals | null
  stdout: string
  /** Standard output and error, in the order in which they came. */
  output: string
}

/**
 * Runs a program to its end. An abort ends it with everything that it has started, and so does the end of this process:
 * a compiler that nobody waits for must not write on.
 *
 * @throws the signal's reason.
 */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { env = process.env, onLine, signal } = options
  signal?.throwIfAborted()
  const child = spawn(command, args, {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that the compilers below it can be ended together.
    detached: process.platform !== 'win32',
    // Batch files need one.
    shell: command.endsWith('.cmd'),
  })
  const end = () => endTree(child)
  signal?.addEventListener('abort', end, { once: true })
  process.once('exit', end)
  try {
    const ran = await collect(child, onLine)
    signal?.throwIfAborted()
    return ran
  } finally {
    signal?.removeEventListener('abort', end)
    process.off('exit', end)
  }
}

function collect(child: ChildProcess, onLine: RunOptions['onLine']): Promise<Ran> {
  let stdout = ''
  let output = ''
  for (const stream of [child.stdout!, child.stderr!]) {
    createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', (line) => {
      if (stream === child.stdout) stdout += `${line}\n`
      output += `${line}\n`
      onLine?.(line)
    })
  }
  return new Promise((resolve) => {
    child.on('error', ({ message }) => resolve({ status: null, endedBy: null, stdout, output: message }))
    child.on('close', (status, endedBy) => resolve({ status, endedBy, stdout, output }))
  })
}

function endTree(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  if (process.platform === 'win32') {
    spawnSync('taskkill', ['/pid', String(child.pid), '/T', '/F'], { stdio: 'ignore' })
    return
  }
  try {
    process.kill(-child.pid, 'SIGTERM')
  } catch {
    // It has just ended by itself.
  }
}

/**
 * Like {@link run}, for what must succeed.
 * @throws {Phi2Error} `PHI2_BUILD_FAILED` with the first error that the program printed.
 */
export async function runOrFail(
  command: string,
  args: readonly string[],
  purpose: string,
  options: RunOptions = {},
): Promise<string> {
  const { output, status, stdout } = await run(command, args, options)
  if (status !== 0) throw buildError(`Could not ${purpose}: ${firstError(output)}`)
  return stdout
}

export function firstError(output: string): string {
  const lines = output.split('\n').map((line) => line.trim())
  return lines.find((line) => /error/i.test(line)) ?? lines.find((line) => line !== '') ?? 'no reason given'
}

export function buildError(message: string): Phi2Error {
  return new Phi2Error('PHI2_BUILD_FAILED', message)
}
