/**
 * Prefill and decode speed on a GPU, one contender after the other in every round on the same file: this package with the
 * backend built from source and with the plug-in, llama.cpp's own benchmarks with that same backend, and node-llama-cpp's
 * CUDA build. Those that are not at hand are left out and named.
 *
 * Usage: speed f16|q4_k_m
 */
import { existsSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defaultThreads } from '../../src/threads.js'
import { alternate } from '../cases/case.js'
import { DEPTH, decodeRun, readPrompts } from '../cases/decode.js'
import { prefillMs } from '../cases/prefill.js'
import type { SubjectDriver } from '../contenders/drive.js'
import { LlamaTools } from '../contenders/llama-tools.js'
import { Driver } from '../contenders/rpc.js'
import { modelPath, rehearsal, say, WORK, writePart } from './setup.js'

type Contender = 'phi2, built' | 'phi2, plug-in' | 'llama.cpp' | 'node-llama-cpp'

export interface SpeedResult {
  model: string
  title: string
  /** Tokens per second, one value for each round. */
  values: Partial<Record<Contender, number[]>>
}

const ROUNDS = rehearsal ? 1 : 3
const PROMPTS = rehearsal ? [64] : [128, 512, 1500]
const STREAMS = rehearsal ? [1, 8] : [1, 8, 64]
const STEPS = rehearsal ? 8 : 64

const gpu = !rehearsal
const threads = defaultThreads(1e9)
const tools = new LlamaTools(join(WORK, 'tools', 'bin'), threads, gpu)
const peer = join(WORK, 'peer', 'node_modules', 'node-llama-cpp', 'dist', 'index.js')
const plugins = join(WORK, 'cache', 'gpu')
const left: string[] = [
  ...(existsSync(plugins) ? [] : ['phi2, plug-in']),
  ...(existsSync(peer) ? [] : ['node-llama-cpp']),
]

const libraries = [
  ['phi2, built', 'phi2', { PHI2_BINDING: binding('build-gpu'), PHI2_PLUGINS: 'off' }],
  ['phi2, plug-in', 'phi2', { PHI2_BINDING: binding('build-cpu'), PHI2_CACHE: join(WORK, 'cache') }],
  ['node-llama-cpp', 'node-llama-cpp', {}],
] as const

let texts = 0
const bench = { fresh: () => texts++, progress: say }

const results: SpeedResult[] = []
const name = process.argv[2] ?? 'f16'
const model = modelPath(`random-${name}`)
for (const tokens of PROMPTS) {
  const rate = (driver: SubjectDriver) => async () => (tokens * 1000) / (await prefillMs(driver, bench, tokens))
  await compare(`prefill ${tokens}`, { contextSize: 2048, streams: 1 }, rate, () => tools.prefill(model, tokens))
}
for (const streams of STREAMS) {
  const rate = (driver: SubjectDriver) => async () =>
    (await decodeRun(driver, await readPrompts(driver, bench, streams), STEPS)).rate
  await compare(`decode, ${streams} streams`, { contextSize: 256, streams }, rate, () =>
    streams === 1
      ? tools.decode(model, { depth: DEPTH, tokens: STEPS })
      : tools.streams(model, { streams, depth: DEPTH, tokens: STEPS }),
  )
}

async function compare(
  title: string,
  options: { contextSize: number; streams: number },
  rate: (driver: SubjectDriver) => () => Promise<number>,
  measureTool: () => Promise<number>,
): Promise<void> {
  const drivers: SubjectDriver[] = []
  const contenders: Partial<Record<Contender, () => Promise<number>>> = { 'llama.cpp': measureTool }
  try {
    for (const [contender, library, environment] of libraries) {
      if (left.some((text) => text.startsWith(contender))) continue
      const driver = start(library, environment)
      drivers.push(driver)
      try {
        await driver.call('load', { ...options, model, threads, gpu })
        // Warms up: kernels are compiled and buffers made at the first call.
        await rate(driver)()
        contenders[contender] = rate(driver)
      } catch (error) {
        left.push(`${contender} (${(error as Error).message.split('\n')[0]})`)
      }
    }
    const values = await alternate(bench, ROUNDS, title, contenders)
    results.push({ model: name, title, values })
    writePart(`speed-${name}`, { left, results })
  } finally {
    await Promise.all(drivers.map((driver) => driver.close()))
  }
}

function binding(build: string): string {
  return join(WORK, build, 'Release', 'phi2.node')
}

function start(library: 'phi2' | 'node-llama-cpp', environment: NodeJS.ProcessEnv): SubjectDriver {
  const module = new URL(`../contenders/${library}${extname(import.meta.url)}`, import.meta.url)
  return new Driver(fileURLToPath(module), [peer], environment)
}
