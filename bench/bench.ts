/**
 * Speed side by side: this package, llama.cpp's own benchmarks built from the same sources with the same flags, and
 * node-llama-cpp as it is published, one after the other in every round, on the same files.
 *
 * Usage: npm run bench -- [--quick] [--cases NAMES] [--rounds N] [--model q4_k_m|q4_0] [--update]
 *
 * The table goes to standard output. A whole run also writes bench/results.json, bench/results.svg and
 * bench/RESULTS.md; a part of it (any option) writes them into build/bench instead, or with --update puts its figures
 * in the place of those of the last whole run (without --cases: reports that anew). Ends with 1 if a case failed.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { packageRoot } from '../src/package-root.js'
import { defaultThreads } from '../src/threads.js'
import type { Bench, Case, Library, OpenOptions } from './cases/case.js'
import { CASES } from './cases/index.js'
import type { SubjectDriver } from './contenders/drive.js'
import { LlamaTools } from './contenders/llama-tools.js'
import { Driver } from './contenders/rpc.js'
import { buildEngineTools } from './engine-tools.js'
import { type BenchOptions, parseBenchOptions, UsageError } from './options.js'
import { installPeer } from './peer.js'
import {
  compilePackage,
  type ModelFiles,
  machineFacts,
  synthesizeModels,
  versionFacts,
  WORK_FOLDER,
} from './prepare.js'
import { chartSvg } from './report/chart.js'
import { resultsMarkdown } from './report/markdown.js'
import { type Measurement, type Results, updated } from './report/results.js'
import { alignedTable, measurementTable, targetTable } from './report/table.js'
import { judge } from './report/targets.js'

const FULL_SIZE_BYTES = 1e9
const REPORT_FOLDER = join(packageRoot(), 'bench')

async function main(options: BenchOptions): Promise<number> {
  const command = ['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' ')
  const started = Date.now()
  if (options.update && options.cases.length === 0) {
    report(lastWholeRun(), true)
    return 0
  }
  say('Compiles the package, builds llama.cpp’s tools, installs node-llama-cpp, makes the models …')
  compilePackage()
  const tools = await buildEngineTools(['llama-bench', 'llama-batched-bench'])
  const peer = installPeer()
  const models = await synthesizeModels(options.models)
  const threads = defaultThreads(FULL_SIZE_BYTES)
  const facts = { machine: machineFacts(threads), versions: versionFacts() }

  const measurements: Measurement[] = []
  const failures: Results['failures'][number][] = []
  const planned = plan(options).map(({ entry, model }) => ({ entry, model, name: `${entry.name} (${model})` }))
  for (const { entry, model, name } of planned) {
    try {
      const bench = makeBench({ options, model, models, threads, tools, peer })
      measurements.push(...(await entry.run(bench)))
    } catch (error) {
      failures.push({ name, reason: (error as Error).message.split('\n')[0]! })
      say(`${name} failed: ${(error as Error).stack}`)
    }
  }
  const results: Results = {
    format: 'phi2-bench',
    version: 1,
    date: new Date(started).toISOString().slice(0, 16).replace('T', ' '),
    command,
    ...facts,
    settings: {
      Models: 'full-size Phi-2 with random weights; phi-2-tiny and a small random model where a table says so',
      'All contenders': 'greedy, log-probabilities off, KV cache in 16 bits, flash attention "auto", micro-batch 512',
      Duration: `${((Date.now() - started) / 60e3).toFixed(0)} minutes`,
    },
    measurements,
    failures,
  }
  if (options.update) {
    const names = planned.map(({ name }) => name)
    report(updated(lastWholeRun(), results, names), true)
  } else {
    report(results, command === 'npm run bench')
  }
  return failures.length === 0 ? 0 : 1
}

function lastWholeRun(): Results {
  return JSON.parse(readFileSync(join(REPORT_FOLDER, 'results.json'), 'utf8')) as Results
}

/** The cases, model by model, so that a file stays in the system's cache. */
function plan({ cases, models }: BenchOptions): { entry: Case; model: keyof ModelFiles }[] {
  const chosen = CASES.filter(({ name }) => cases.length === 0 || cases.includes(name))
  const [first] = models
  return [...models, 'tiny', 'small'].flatMap((model) =>
    chosen
      .filter(
        ({ models: wanted }) =>
          wanted === model ||
          (wanted === 'each' && models.some((name) => name === model)) ||
          (wanted === 'first' && model === first),
      )
      .map((entry) => ({ entry, model: model as keyof ModelFiles })),
  )
}

interface Setup {
  options: BenchOptions
  model: keyof ModelFiles
  models: ModelFiles
  threads: number
  tools: string
  peer: string
}

let texts = 0

function makeBench({ options, model, models, threads: fullSizeThreads, tools, peer }: Setup): Bench {
  // Several threads only wait for each other in a model this small.
  const threads = model === 'tiny' || model === 'small' ? 1 : fullSizeThreads
  const path = models[model]
  const start = (library: Library): SubjectDriver =>
    new Driver(fileURLToPath(new URL(`contenders/${library}.ts`, import.meta.url)), [peer])
  return {
    quick: options.quick,
    threads,
    model: { name: model, path, further: model === options.models[1] },
    tools: new LlamaTools(tools, threads),
    peer,
    rounds: (usual) => options.rounds ?? (options.quick ? 1 : usual),
    start,
    async open(library: Library, wanted: OpenOptions): Promise<SubjectDriver> {
      const driver = start(library)
      await driver.call('load', { ...wanted, model: path, threads })
      return driver
    },
    fresh: () => texts++,
    progress: (text) => say(`${model}: ${text}`),
  }
}

function report(results: Results, whole: boolean): void {
  const verdicts = judge(results.measurements)
  for (const model of new Set(results.measurements.map((measurement) => measurement.model))) {
    const own = results.measurements.filter((measurement) => measurement.model === model)
    process.stdout.write(`${model}\n${alignedTable(measurementTable(own))}\n\n`)
  }
  if (verdicts.length > 0) process.stdout.write(`${alignedTable(targetTable(verdicts))}\n`)

  const folder = whole ? REPORT_FOLDER : WORK_FOLDER
  mkdirSync(folder, { recursive: true })
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text)
  write('results.json', `${JSON.stringify({ ...results, targets: verdicts }, null, 2)}\n`)
  write('results.svg', chartSvg(results.measurements, `Speed side by side, ${results.date.slice(0, 10)}`))
  write('RESULTS.md', resultsMarkdown(results, verdicts, CASES))
  say(`Written: RESULTS.md, results.json and results.svg in ${whole ? 'bench' : 'build/bench'}.`)
}

function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`)
}

try {
  const options = parseBenchOptions(
    process.argv.slice(2),
    CASES.map(({ name }) => name),
  )
  process.exitCode = await main(options)
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  process.stderr.write(`bench: ${error.message}\n`)
  process.exitCode = 2
}
