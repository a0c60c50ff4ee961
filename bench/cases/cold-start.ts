import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tinyModelPath } from '../../src/models/resolve.js'
import { packageRoot } from '../../src/package-root.js'
import { WORK_FOLDER } from '../prepare.js'
import { alternate, type Case } from './case.js'

const PROMPT = 'Once upon a time'
const MAX_TOKENS = '16'
// What the machine's user has stored, like a tuned profile, is not measured.
const ENV = { ...process.env, PHI2_CACHE: join(WORK_FOLDER, 'no-cache') }
const SCRIPT = fileURLToPath(new URL('../contenders/first-token.mjs', import.meta.url))

export const coldStart: Case = {
  name: 'cold-start',
  how: "From the start of a process until it prints the first text of the tiny model's answer.",
  models: 'tiny',
  async run(bench) {
    const title = 'command line, cold start to first text'
    const cli = join(packageRoot(), 'dist', 'src', 'cli', 'main.js')
    const values = await alternate(bench, bench.rounds(15), title, {
      phi2: () => firstTextMs([cli, 'complete', PROMPT, '--model', 'tiny', '--max-tokens', MAX_TOKENS]),
      'node-llama-cpp': () => firstTextMs([SCRIPT, bench.peer, tinyModelPath(), PROMPT, MAX_TOKENS]),
    })
    return [{ id: 'cold-start', title, model: 'tiny', unit: 'ms', better: 'less', values }]
  },
}

async function firstTextMs(args: readonly string[]): Promise<number> {
  const from = performance.now()
  const child = spawn(process.execPath, args, { env: ENV, stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const first = await Promise.race([once(child.stdout, 'data'), exited.then(() => undefined)])
  const ms = performance.now() - from
  child.stdout.resume()
  await exited
  if (first === undefined) throw new Error(`${args[0]} printed nothing.`)
  return ms
}
