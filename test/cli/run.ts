import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { packageRoot } from '../../src/package-root.js'
import '../helpers/empty-cache.js'

/** Node and the arguments that start the program from its sources. */
export const command: readonly [string, ...string[]] = [
  process.execPath,
  '--import',
  // by its address: the program may run in any folder
  import.meta.resolve('tsx'),
  join(packageRoot(), 'src', 'cli', 'main.ts'),
]

export interface Run {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface RunOptions {
  /** Text for standard input; without it standard input is empty; `null` leaves it open and silent. */
  input?: string | null
  env?: Record<string, string>
  /** @default the package's folder */
  cwd?: string
  /** Called once, at the first output. */
  onOutput?: (child: ChildProcess) => void
  /** Called when the process has started. */
  onSpawn?: (child: ChildProcess) => void
}

// Far beyond any slow start, so that only a hang is taken for one.
const DEADLINE_MS = 120_000

export function environment(given: Record<string, string> = {}): NodeJS.ProcessEnv {
  const { PHI2_MODEL: _, PHI2_DEBUG: __, ...inherited } = process.env
  return { ...inherited, ...given }
}

/** Runs the program as a child process with pipes. */
export async function phi2(args: readonly string[], options: RunOptions = {}): Promise<Run> {
  const [node, ...before] = command
  return collect(
    spawn(node, [...before, ...args], { cwd: options.cwd ?? packageRoot(), env: environment(options.env) }),
    args,
    options,
  )
}

/** Runs a shell line in which `$PHI2` is the program. */
export async function shell(line: string): Promise<Run> {
  const PHI2 = command.map((word) => `'${word}'`).join(' ')
  return collect(
    spawn('sh', ['-c', line.replaceAll('$PHI2', PHI2)], { cwd: packageRoot(), env: environment() }),
    [line],
    {},
  )
}

async function collect(child: ChildProcess, args: readonly string[], options: RunOptions): Promise<Run> {
  const { input = '', onOutput, onSpawn } = options
  const run: Run = { code: null, signal: null, stdout: '', stderr: '' }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    if (run.stdout === '') onOutput?.(child)
    run.stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    run.stderr += text
  })
  // The child may leave before it has read its input.
  child.stdin?.on('error', () => {})
  if (input !== null) child.stdin?.end(input)
  onSpawn?.(child)
  const deadline = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS)
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  clearTimeout(deadline)
  if (signal === 'SIGKILL') throw new Error(`phi2 ${args.join(' ')} did not end. So far: ${JSON.stringify(run)}`)
  return { ...run, code, signal }
}
