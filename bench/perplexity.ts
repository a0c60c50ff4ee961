/**
 * Perplexity, comparison of two models and importance matrix side by side with llama.cpp's own tools, built from the
 * pinned sources. Prints Markdown; without --model it also goes to bench/PERPLEXITY.md. Ends with 1 when a perplexity
 * differs in the third decimal (above 1000: in the seventh digit).
 *
 * Usage: npx tsx bench/perplexity.ts [--model FILE] [--text FILE] [--chunks N] [--threads N]
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { basename, join, relative } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { readImatrix } from '../gguf/imatrix-file.js'
import { computeImatrix, type Estimate, type PerplexityComparison, perplexity, quantize } from '../gguf/index.js'
import { tinyModelPath } from '../src/models/resolve.js'
import { loadAddon } from '../src/native.js'
import { packageRoot } from '../src/package-root.js'
import { buildEngineTools } from './engine-tools.js'

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: tinyModelPath() },
    text: { type: 'string', default: join(packageRoot(), 'test', 'fixtures', 'evaluation.txt') },
    chunks: { type: 'string' },
    threads: { type: 'string', default: '1' },
  },
})
const { model } = values
const chunks = values.chunks === undefined ? undefined : Number(values.chunks)
const threads = Number(values.threads)
// The tools leave out the newline at the end.
const text = (await readFile(values.text, 'utf8')).replace(/\n$/, '')

const CONTEXT_SIZES = [64, 128, 256, 512, 1024]
const CONTEXT_SIZE = 512
const BATCH_SIZE = 512

const tools = await buildEngineTools(['llama-perplexity', 'llama-imatrix'])
const folder = await mkdtemp(join(tmpdir(), 'phi2-bench-'))

interface Output {
  text: string
  seconds: number
}

async function runTool(tool: string, modelPath: string, contextSize: number, ...more: string[]): Promise<Output> {
  const limit = chunks === undefined ? [] : ['--chunks', String(chunks)]
  const sizes = ['-c', String(contextSize), '-b', String(BATCH_SIZE), '-t', String(threads)]
  const started = performance.now()
  const { stdout, stderr } = await promisify(execFile)(
    join(tools, tool),
    ['-m', modelPath, '-f', values.text, ...sizes, ...limit, ...more],
    { maxBuffer: 1 << 28 },
  )
  return { text: stdout + stderr, seconds: (performance.now() - started) / 1000 }
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

/** Perplexities at several context sizes, and the largest difference. */
async function comparePerplexities(): Promise<{ section: string; largest: number }> {
  const rows: string[][] = []
  let largest = 0
  for (const contextSize of CONTEXT_SIZES) {
    const tool = await runTool('llama-perplexity', model, contextSize)
    const [, value, error] = /Final estimate: PPL = ([\d.]+) \+\/- ([\d.]+)/.exec(tool.text) ?? []
    if (value === undefined || error === undefined) throw new Error(`llama-perplexity said:\n${tool.text}`)
    const ours = await perplexity({ model, text, contextSize, batchSize: BATCH_SIZE, chunks, threads })
    const difference = ours.perplexity - Number(value)
    // three decimals; of values above 1000, which a text unknown to the model has, seven digits
    largest = Math.max(largest, Math.abs(difference) / Math.max(1, ours.perplexity / 1000))
    rows.push([
      `${contextSize}`,
      `${ours.chunks}`,
      `${value} ± ${error}`,
      `${ours.perplexity.toFixed(4)} ± ${ours.error.toFixed(5)}`,
      difference.toExponential(1),
      tool.seconds.toFixed(1),
      ours.seconds.toFixed(1),
    ])
  }
  const head = ['context', 'chunks', 'llama-perplexity', 'phi2', 'difference', 'its seconds', 'our seconds']
  return { section: table(head, rows), largest }
}

/** The tool's names of what {@link PerplexityComparison} holds, with the factor of its unit. */
const FIGURES: readonly (readonly [
  name: string,
  factor: number,
  of: (found: PerplexityComparison) => number | Estimate,
])[] = [
  ['Mean PPL(base)', 1, ({ reference }) => reference],
  ['Cor(ln(PPL(Q)), ln(PPL(base)))', 100, ({ correlation }) => correlation],
  ['Mean ln(PPL(Q)/PPL(base))', 1, ({ logRatio }) => logRatio],
  ['Mean PPL(Q)/PPL(base)', 1, ({ ratio }) => ratio],
  ['Mean PPL(Q)-PPL(base)', 1, ({ difference }) => difference],
  ['Mean    KLD', 1, ({ kld }) => kld],
  ['Maximum KLD', 1, ({ kld }) => kld.max],
  ['99.9%   KLD', 1, ({ kld }) => kld.percentiles['99.9%']],
  ['99.0%   KLD', 1, ({ kld }) => kld.percentiles['99%']],
  ['95.0%   KLD', 1, ({ kld }) => kld.percentiles['95%']],
  ['90.0%   KLD', 1, ({ kld }) => kld.percentiles['90%']],
  ['Median  KLD', 1, ({ kld }) => kld.percentiles['50%']],
  ['Minimum KLD', 1, ({ kld }) => kld.min],
  ['Mean    Δp', 100, ({ deltaP }) => deltaP],
  ['Maximum Δp', 100, ({ deltaP }) => deltaP.max],
  ['99.9%   Δp', 100, ({ deltaP }) => deltaP.percentiles['99.9%']],
  ['75.0%   Δp', 100, ({ deltaP }) => deltaP.percentiles['75%']],
  ['25.0%   Δp', 100, ({ deltaP }) => deltaP.percentiles['25%']],
  ['Minimum Δp', 100, ({ deltaP }) => deltaP.min],
  ['RMS Δp', 100, ({ rmsDeltaP }) => rmsDeltaP],
  ['Same top p', 100, ({ sameTop }) => sameTop],
]

async function compareComparisons(): Promise<string> {
  const quantized = join(folder, 'q4_0.gguf')
  await quantize({ from: model, to: quantized, type: 'q4_0', allowRequantize: true })
  const logits = join(folder, 'logits')
  const first = await runTool('llama-perplexity', model, CONTEXT_SIZE, '--kl-divergence-base', logits)
  const second = await runTool(
    'llama-perplexity',
    quantized,
    CONTEXT_SIZE,
    '--kl-divergence',
    '--kl-divergence-base',
    logits,
  )
  const ours = await perplexity({ model: quantized, against: model, text, contextSize: CONTEXT_SIZE, chunks, threads })
  const found = ours.comparison
  if (!found) throw new Error('nothing was compared')
  const lines = new Map(
    second.text.split('\n').map((line) => {
      const colon = line.lastIndexOf(':')
      return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()] as const
    }),
  )
  const rows = FIGURES.map(([name, factor, of]) => {
    const told = lines.get(name)
    if (told === undefined) throw new Error(`llama-perplexity did not say ${name}:\n${second.text}`)
    const digits = /\.(\d+)/.exec(told)?.[1]?.length ?? 0
    const figure = of(found)
    const own = factor * (typeof figure === 'number' ? figure : figure.value)
    const error = typeof figure === 'number' ? '' : ` ± ${(factor * figure.error).toFixed(digits)}`
    return [
      name.replace(/\s+/, ' '),
      told.replace(/\s+/g, ' '),
      own.toFixed(digits) + error,
      (own - Number.parseFloat(told)).toExponential(1),
    ]
  })
  const seconds = `Seconds: ${first.seconds.toFixed(1)} + ${second.seconds.toFixed(1)} in two runs of the tool, ${ours.seconds.toFixed(1)} here.`
  return `${table(['figure', 'llama-perplexity', 'phi2', 'difference'], rows)}\n\n${seconds}`
}

async function compareImatrices(): Promise<string> {
  const theirs = join(folder, 'theirs.gguf')
  const ours = join(folder, 'ours.gguf')
  const tool = await runTool('llama-imatrix', model, CONTEXT_SIZE, '--process-output', '-o', theirs)
  const { seconds } = await computeImatrix({
    model,
    text,
    to: ours,
    contextSize: CONTEXT_SIZE,
    chunks,
    threads,
    processOutput: true,
  })
  const [a, b] = [await readImatrix(theirs), await readImatrix(ours)]
  const names = [...new Set([...a.entries.keys(), ...b.entries.keys()])]
  let largest = 0
  let values = 0
  for (const name of names) {
    const [expected, found] = [a.entries.get(name), b.entries.get(name)]
    if (!expected || !found) throw new Error(`${name} is in one of the two matrices only`)
    if (String(expected.counts) !== String(found.counts)) throw new Error(`${name} has other counts`)
    expected.sums.forEach((sum, index) => {
      values++
      largest = Math.max(largest, Math.abs(found.sums[index]! - sum) / Math.max(sum, 1e-30))
    })
  }
  return (
    `${names.length} matrices with the same names and counts (${[...a.entries.values()][0]!.counts[0]} tokens), ` +
    `${values} sums: the largest relative difference is ${largest.toExponential(1)}. ` +
    `Seconds: ${tool.seconds.toFixed(1)} of the tool, ${seconds.toFixed(1)} here.`
  )
}

try {
  const { section, largest } = await comparePerplexities()
  const verdict = largest < 5e-4 ? 'PASS' : 'FAIL'
  const machine = `llama.cpp ${loadAddon().versions.llama} for both, the same compiler and flags; ${cpus()[0]?.model ?? 'processor unknown'}`
  const given = process.argv.slice(2).map((word) => basename(word))
  const report = `# Perplexity and importance matrix beside llama.cpp's tools

Written by \`${['npx tsx bench/perplexity.ts', ...given].join(' ')}\`. ${machine}.
Model ${basename(model)}, text \`${relative(packageRoot(), values.text)}\`, ${threads} thread${threads === 1 ? '' : 's'}. Seconds
include loading the model, on a machine that did other work too.

## Perplexity

${section}

${verdict}: the largest difference is ${largest.toExponential(1)}; the tool prints four decimals.

## The model in Q4_0 compared with itself unquantized

Contexts of ${CONTEXT_SIZE}. The tool keeps the reference's log-probabilities in 16 bits each and leaves out what is less
likely than e⁻¹⁶, so its divergences have an error of some 10⁻⁵ and can be negative; here both models run in step, and
nothing is rounded.

${await compareComparisons()}

## Importance matrix

Contexts of ${CONTEXT_SIZE}. The tool adds up in single precision, phi2 in double.

${await compareImatrices()}
`
  process.stdout.write(report)
  if (model === tinyModelPath()) await writeFile(join(packageRoot(), 'bench', 'PERPLEXITY.md'), report)
  process.exitCode = verdict === 'PASS' ? 0 : 1
} finally {
  await rm(folder, { recursive: true, force: true })
}
