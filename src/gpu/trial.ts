import { extname } from 'node:path'
import { run } from '../builder/run.js'
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
  const args = [...process.execArgv, '--input-type=module', '--eval', program]
  const { endedBy, output, status, stdout } = await run(process.execPath, args, { signal })
  if (status === 0) return JSON.parse(stdout) as Trial
  const said = output.trim().split('\n')[0] ?? ''
  const end = `${endedBy ?? `exit code ${status}`}${said === '' ? '' : `, ${said}`}`
  return { failure: `the process that tried it ended by itself (${end})`, crashed: true }
}
