import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DECLINED } from '../../src/models/cache.js'
import { packageRoot } from '../../src/package-root.js'
import { until } from './fakes.js'
import { command, environment } from './run.js'

/** A shell in a real pseudo-terminal, in which `phi2` is the program. */
export interface Terminal {
  /** Presses keys; `\r` is Enter, `\x03` is Ctrl-C. */
  type(keys: string): void
  /** Waits for a text after what was already seen, and gives what came before it. */
  sees(text: string): Promise<string>
  /** What stands on the screen now; only of drivers that know. */
  screen?(): string
  resize?(columns: number, rows: number): void
  close(): Promise<void>
}

export type Driver = 'tmux' | 'script' | 'python3'

export interface TerminalOptions {
  /** The offer to download the real model was answered with no before. @default true */
  declined?: boolean
  env?: Record<string, string>
}

// Far beyond any slow start, so that only a hang is taken for one.
const WAIT_MS = 90_000

/** The first driver that this machine has; `PHI2_TEST_PTY` names another one. */
export function findDriver(): Driver | undefined {
  const wanted = process.env.PHI2_TEST_PTY
  const works: Record<Driver, () => boolean> = {
    tmux: () => spawnSync('tmux', ['-V']).status === 0,
    // The options differ between systems; these are util-linux's.
    script: () => String(spawnSync('script', ['--version']).stdout).includes('util-linux'),
    python3: () => spawnSync('python3', ['-c', 'import pty']).status === 0,
  }
  const drivers: Driver[] = ['tmux', 'script', 'python3']
  return drivers.filter((driver) => wanted === undefined || wanted === driver).find((driver) => works[driver]())
}

export async function openTerminal(
  driver: Driver,
  { declined = true, env: given = {} }: TerminalOptions = {},
): Promise<Terminal> {
  const folder = mkdtempSync(join(tmpdir(), 'phi2-pty-'))
  const rc = join(folder, 'rc')
  const program = command.map((word) => `'${word}'`).join(' ')
  writeFileSync(rc, `PS1='shell> '\ncd '${packageRoot()}'\nalias phi2="${program}"\n`)
  const cache = join(folder, 'cache')
  mkdirSync(cache)
  if (declined) writeFileSync(join(cache, DECLINED), '')
  const env = environment({ ENV: rc, TERM: 'xterm', SHELL: '/bin/sh', PHI2_CACHE: cache, ...given })
  const terminal = driver === 'tmux' ? openTmux(folder, env) : openChild(driver, env)
  const { close } = terminal
  terminal.close = async () => {
    await close()
    rmSync(folder, { recursive: true })
  }
  await terminal.sees('shell> ')
  return terminal
}

/** Finds texts in what a terminal was sent, one after the other. */
function watcher(read: () => string): Terminal['sees'] {
  let seen = 0
  return async (text) => {
    const log = (): string => plain(read())
    await until(
      () => log().indexOf(text, seen) !== -1,
      () => `${log().slice(seen)} (waiting for ${text})`,
      WAIT_MS,
    )
    const at = log().indexOf(text, seen)
    const between = log().slice(seen, at)
    seen = at + text.length
    return between
  }
}

/** Without escape sequences and carriage returns. */
function plain(text: string): string {
  return text.replace(/\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[()][A-Z0-9]|[=>])/g, '').replace(/\r/g, '')
}

function openTmux(folder: string, env: NodeJS.ProcessEnv): Terminal {
  // A server of its own, whose socket goes away with the folder.
  const socket = join(folder, 'socket')
  const tmux = (...args: string[]): string => execFileSync('tmux', ['-S', socket, ...args], { env, encoding: 'utf8' })
  const logPath = join(folder, 'log')
  writeFileSync(logPath, '')
  // The gate is opened when the log is being written, so that nothing is missed.
  const gate = join(folder, 'gate')
  const start = `while [ ! -e '${gate}' ]; do sleep 0.05; done; exec sh -i`
  tmux('-f', '/dev/null', 'new-session', '-d', '-s', 'test', '-x', '100', '-y', '30', start)
  tmux('pipe-pane', '-t', 'test', `cat >> '${logPath}'`)
  writeFileSync(gate, '')
  return {
    type: (keys) => {
      tmux('send-keys', '-t', 'test', '-H', ...[...Buffer.from(keys)].map((byte) => byte.toString(16)))
    },
    sees: watcher(logReader(logPath)),
    screen: () => tmux('capture-pane', '-p', '-J', '-t', 'test'),
    resize: (columns, rows) => {
      tmux('resize-window', '-t', 'test', '-x', String(columns), '-y', String(rows))
    },
    close: async () => {
      spawnSync('tmux', ['-S', socket, 'kill-server'], { env })
    },
  }
}

function logReader(path: string): () => string {
  const file = openSync(path, 'r')
  const chunk = Buffer.alloc(65536)
  let bytes = Buffer.alloc(0)
  return () => {
    for (let count = readSync(file, chunk); count > 0; count = readSync(file, chunk)) {
      bytes = Buffer.concat([bytes, chunk.subarray(0, count)])
    }
    return bytes.toString('utf8')
  }
}

function openChild(driver: 'script' | 'python3', env: NodeJS.ProcessEnv): Terminal {
  const child: ChildProcess =
    driver === 'script'
      ? spawn('script', ['-qfec', 'sh -i', '/dev/null'], { env })
      : spawn('python3', ['-c', 'import pty, sys; pty.spawn(sys.argv[1:])', 'sh', '-i'], { env })
  let log = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    log += text
  })
  return {
    type: (keys) => {
      child.stdin?.write(keys)
    },
    sees: watcher(() => log),
    close: async () => {
      child.kill('SIGKILL')
    },
  }
}
