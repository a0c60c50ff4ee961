import { spawn } from 'node:child_process'
import { extname } from 'node:path'
import type { BackendReport } from '../system.js'

/** What became of the backends, or how the process ended that tried them. */
export type Trial = { backends: BackendReport[] } | { crash: string }

/**
 * Loads the GPU backends in a process of its own: one that a driver brings down takes nobody with it. Only for the command
 * line: elsewhere the program that runs may be anything, such as a packed app.
 */
export async function tryInChild(signal?: AbortSignal): Promise<Trial> {
  const system = new URL(`../system${extname(import.meta.url)}`, import.meta.url).href
  const program = `const { systemReport } = await import(${JSON.stringify(system)})
    process.stdout.write(JSON.stringify(systemReport().backends))`
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
  if (code === 0) return { backends: JSON.parse(output.stdout) as BackendReport[] }
  const said = output.stderr.trim().split('\n')[0] ?? ''
  return { crash: `${by ?? `exit code ${code}`}${said === '' ? '' : `, ${said}`}` }
}
