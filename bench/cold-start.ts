/**
 * How long the command line takes to start: medians of processes run in turn, from their start to the first byte of what
 * is asked for, with the embedded model. Bare Node is the floor.
 *
 * Run: npm run compile && npx tsx bench/cold-start.ts [ROUNDS]    (the chat is measured where there is util-linux's `script`)
 */
import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DECLINED } from '../src/models/cache.js'
import { packageRoot } from '../src/package-root.js'

const main = join(packageRoot(), 'dist', 'src', 'cli', 'main.js')
const node = process.execPath

/** What is started, and the text at whose sight it has started. */
const starts: readonly (readonly [name: string, command: readonly string[], text: string])[] = [
  ['bare Node', [node, '--eval', 'console.log(1)'], ''],
  ['phi2 --version', [node, main, '--version'], ''],
  ['phi2 --help', [node, main, '--help'], ''],
  ['phi2 ask, first token', [node, main, 'ask', '--model', 'tiny', 'What is the capital of France?'], ''],
  ['phi2 chat, prompt', ['script', '-qfec', `'${node}' '${main}' chat --model tiny`, '/dev/null'], 'Alice:'],
]

/** Milliseconds, or undefined where the program is missing. */
function startMs([program, ...args]: readonly string[], text: string, cache: string): Promise<number | undefined> {
  const env = { ...process.env, PHI2_CACHE: cache }
  const from = performance.now()
  const child = spawn(program!, args, { env, stdio: ['ignore', 'pipe', 'ignore'] })
  let seen = ''
  let ms: number | undefined
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    seen += chunk
    if (ms !== undefined || !seen.includes(text)) return
    ms = performance.now() - from
    // The answer goes on, and the chat would wait for a turn.
    if (text !== '') child.kill()
  })
  return new Promise((resolve, reject) => {
    child.on('error', () => resolve(undefined))
    child.on('close', () => (ms === undefined ? reject(new Error(`${args.join(' ')} printed: ${seen}`)) : resolve(ms)))
  })
}

async function measure(rounds: number): Promise<void> {
  const cache = await mkdtemp(join(tmpdir(), 'phi2-bench-'))
  try {
    await writeFile(join(cache, DECLINED), '')
    const taken = new Map<string, number[]>(starts.map(([name]) => [name, []]))
    for (let round = 0; round < rounds; round++) {
      for (const [name, command, text] of starts) {
        const ms = await startMs(command, text, cache)
        if (ms !== undefined) taken.get(name)!.push(ms)
      }
    }
    for (const [name, all] of taken) {
      const sorted = all.sort((a, b) => a - b)
      const [least, middle] = [sorted[0], sorted[sorted.length >> 1]].map((ms) => ms?.toFixed(0).padStart(5) ?? '    –')
      console.log(`${name.padEnd(22)} ${middle} ms   (least ${least} ms)`)
    }
  } finally {
    await rm(cache, { recursive: true, force: true })
  }
}

await measure(Number(process.argv[2] ?? 15))
