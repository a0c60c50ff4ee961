import { spawn } from 'node:child_process'
import { extname } from 'node:path'
import type { BackendReport } from '../system.js'

/** What became of the backends, or why they could not be tried: how the process ended, or that there is no addon. */
export type Trial = { backends: BackendReport[] } | { failure: string; crashed: boolean }

/**
 * Loads the GPU backends in a process of its own: one that a driver brings down takes nobody with it. Only for the command
 * line: elsewhere the program that runs may be anything, such as a packed app.
 */
export async function tryInChild(signal?: AbortSignal): Promise<Trial> {
  const system = new URL(`../system${extname(import.meta.url)}`, import.meta.url).href
  const program = `const { systemReport } = await import(${JSON.stringify(system)})
    let trial
    try {
      trial = { backends: systemReport().backends }
    } catch (error) {
      trial = { failure: error.message, crashed: false }
    }
    process.stdout.write(JSON.stringify(trial))`
  const child = spawn(process.execPath, [...process.execArgv, '--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
    })
  }
  const [code, by] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (...end) => resolve(end))
  })
  if (code === 0) return JSON.parse(output.stdout) as Trial
  const said = output.stderr.trim().split('\n')[0] ?? ''
  const end = `${by ?? `exit code ${code}`}${said === '' ? '' : `, ${said}`}`
  return { failure: `the process that tried it ended by itself (${end})`, crashed: true }
}
