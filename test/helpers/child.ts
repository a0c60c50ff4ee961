import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { packageRoot } from '../../src/package-root.js'
import './empty-cache.js'

export interface ChildResult {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

// A slow start is not a hang: the second deadline only runs once the child has said that it is ready.
const startDeadline = 120_000
const runDeadline = 60_000

/**
 * Runs a program in a process of its own. `Phi2` and `ready()` are in scope; `ready()` tells that the interesting part
 * begins. Rejects if the child hangs.
 */
export function runChild(body: string, nodeArguments: readonly string[] = []): Promise<ChildResult> {
  const phi2 = pathToFileURL(join(packageRoot(), 'src', 'phi2.ts')).href
  return runProgram(`import { Phi2 } from ${JSON.stringify(phi2)}\n${body}`, { nodeArguments })
}

export interface ProgramOptions {
  nodeArguments?: readonly string[]
  /** Added to this process's own; undefined takes a variable out. */
  environment?: NodeJS.ProcessEnv
}

/** Like {@link runChild}, for a program that brings its own imports, relative to the package's folder. */
export function runProgram(body: string, options: ProgramOptions = {}): Promise<ChildResult> {
  return startProgram(body, options).ended
}

export interface Program {
  /** As {@link runProgram}; a kill is no hang. */
  ended: Promise<ChildResult>
  /** Resolves once the program has written `text` to its standard output. */
  said(text: string): Promise<void>
  kill(signal: NodeJS.Signals): void
}

/** Like {@link runProgram}, for a test that does something to the program while it runs. */
export function startProgram(body: string, options: ProgramOptions = {}): Program {
  const { nodeArguments = [], environment = {} } = options
  const source = `const ready = () => process.stdout.write('READY\\n')\n${body}`
  const child = spawn(
    process.execPath,
    [...nodeArguments, '--import', 'tsx', '--input-type=module', '--eval', source],
    {
      cwd: packageRoot(),
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const output = { stdout: '', stderr: '' }
  const ended = new Promise<ChildResult>((resolve, reject) => {
    const hang = (what: string) => () => {
      child.kill('SIGKILL')
      reject(new Error(`the child ${what}; stdout: ${output.stdout} stderr: ${output.stderr}`))
    }
    let deadline = setTimeout(hang('did not start'), startDeadline)
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const wasReady = output.stdout.includes('READY')
      output.stdout += text
      if (wasReady || !output.stdout.includes('READY')) return
      clearTimeout(deadline)
      deadline = setTimeout(hang('hangs'), runDeadline)
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output.stderr += text
    })
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(deadline)
      resolve({ code, signal, ...output })
    })
  })
  const said = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => output.stdout.includes(text) && resolve()
      child.stdout.on('data', look)
      child.on('close', () => reject(new Error(`the child ended; stdout: ${output.stdout} stderr: ${output.stderr}`)))
      look()
    })
  return { ended, said, kill: (signal) => child.kill(signal) }
}
