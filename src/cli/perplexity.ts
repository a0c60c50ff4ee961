import type { PerplexityComparison, PerplexityResult } from '../../gguf/perplexity.js'
import type { Estimate, Spread } from '../../gguf/statistics.js'
import { defineCommand } from './command.js'
import { noteModel } from './load.js'
import { jsonFlag } from './options.js'
import { formatPairs, write, writeJson } from './output.js'
import { formatChunks, readingFlags, readingOptions, readTextFile, withReadingProgress } from './reading.js'

export const perplexity = defineCommand({
  name: 'perplexity',
  usage: 'perplexity [options] <file>',
  summary: 'Measure how well a model predicts a text',
  notes:
    'The text is cut into chunks of --context-size tokens, and the tokens in the second half of each are scored, as ' +
    'llama.cpp’s perplexity tool does: the figures are the same. - is standard input. With --against the predictions ' +
    'are compared with those of another file of the same model, token by token.',
  options: {
    against: { type: 'string', doc: 'Compare with this model, such as the F16 file', group: 'Reading:' },
    ...readingFlags,
    ...jsonFlag,
  },
  examples: [
    ['phi2 perplexity wiki.test.raw -m phi-2.Q4_K_M.gguf', 'the usual measure of a quantized model'],
    ['phi2 perplexity a.txt -m q4.gguf --against f16.gguf', 'what quantization changed'],
    ['phi2 perplexity notes.txt --chunks 10 --json', 'a quick estimate, for a program'],
  ],
  async run({ values, words, context }) {
    const { against, json = false } = values
    const options = readingOptions(values)
    const text = await readTextFile(words, context, 'perplexity')
    const { perplexity: measure } = await import('../../gguf/perplexity.js')
    const result = await withReadingProgress(context, 'perplexity', (more) =>
      measure({ ...options, ...more, against, text }),
    )
    await noteModel(context, options.model, result)
    if (json) await writeJson(context.stdout, result)
    else await write(context.stdout, `${formatResult(result)}\n`)
    return 0
  },
})

function formatResult(result: PerplexityResult): string {
  const { perplexity: value, error, interval95, comparison } = result
  const [low, high] = interval95.map((limit) => limit.toFixed(3))
  const interval = `(95 %: ${low} … ${high})`
  const line = `perplexity ${value.toFixed(4)} ± ${error.toFixed(4)} ${interval}, ${formatChunks(result)}`
  return comparison === undefined ? line : `${line}\n${formatComparison(comparison)}`
}

function formatComparison({
  against,
  reference,
  ratio,
  kld,
  deltaP,
  rmsDeltaP,
  ...more
}: PerplexityComparison): string {
  return formatPairs([
    ['against', against],
    ['its perplexity', plusMinus(reference, 4)],
    ['ratio', plusMinus(ratio, 5)],
    ['ln ratio', plusMinus(more.logRatio, 5)],
    ['correlation', `${percent(more.correlation)} %`],
    ['KL divergence', `${plusMinus(kld, 6)} nats per token`],
    ['', formatSpread(kld, (value) => value.toFixed(6))],
    ['same top token', `${percentError(more.sameTop)} %`],
    ['mean Δp', `${percentError(deltaP)} %`],
    ['', `${formatSpread(deltaP, percent)} (%)`],
    ['RMS Δp', `${percentError(rmsDeltaP)} %`],
  ])
}

function formatSpread({ min, max, percentiles }: Spread, show: (value: number) => string): string {
  const shares = ['1%', '50%', '95%', '99%', '99.9%'] as const
  const inner = shares.map(
    (share) => `${share === '50%' ? 'median' : share.replace('%', ' %')} ${show(percentiles[share])}`,
  )
  return [`min ${show(min)}`, ...inner, `max ${show(max)}`].join(' · ')
}

function plusMinus({ value, error }: Estimate, digits: number): string {
  return `${value.toFixed(digits)} ± ${error.toFixed(digits)}`
}

function percentError({ value, error }: Estimate): string {
  return plusMinus({ value: 100 * value, error: 100 * error }, 3)
}

function percent(share: number): string {
  return (100 * share).toFixed(3)
}
