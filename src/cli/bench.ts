import type { BenchOptions, BenchResult } from '../bench/bench.js'
import { madeType } from '../models/names.js'
import type { LoadOptions } from '../types.js'
import { type CliContext, type CliOptions, defineCommand } from './command.js'
import { UsageError } from './errors.js'
import { noteModel } from './load.js'
import { jsonFlag, loadFlags, loadOptions, readValue } from './options.js'
import { formatBytes, formatTable, write, writeJson, writeNote } from './output.js'
import { ProgressLine } from './progress-line.js'

/** How the speeds of `phi2 bench` and `phi2 tune` are shown. */
export function formatSpeed({ mean, deviation }: { mean: number; deviation: number }): string {
  return `${mean.toFixed(2)} ± ${deviation.toFixed(2)}`
}

const flags = {
  prompt: { type: 'strings', doc: 'Lengths of prompts to read: 128,512 (0: none)', default: 512, group: 'Tests:' },
  predict: { type: 'strings', doc: 'Counts of tokens to write (0: none)', default: 128, group: 'Tests:' },
  streams: { type: 'strings', doc: 'Answers at the same time: 1,8', default: 1, group: 'Tests:' },
  repetitions: { type: 'integer', doc: 'How often each is measured', default: 5, group: 'Tests:' },
  synth: {
    type: 'strings',
    doc: 'Make a full-size model of this type with random weights, in the cache, and remove it afterwards',
    group: 'Model:',
  },
} as const satisfies CliOptions

export const bench = defineCommand({
  name: 'bench',
  usage: 'bench [options] [model…]',
  summary: 'Measure how fast models read prompts (pp) and write answers (tg)',
  notes:
    'Under the conditions of llama-bench: random tokens, an empty cache, no end before the last token; each number is the mean ' +
    'of the repetitions and their standard deviation, in tokens per second. Unlike there, tokens are also sampled and ' +
    'their text is made. pp512 is a prompt of 512 tokens, tg128 an answer of 128 after a prompt of one. Nothing else should run ' +
    'meanwhile.',
  options: { ...flags, ...jsonFlag, ...loadFlags },
  examples: [
    ['phi2 bench', 'the default model'],
    ['phi2 bench a.gguf b.gguf --prompt 128,512 --streams 1,8', 'two models beside each other'],
    ['phi2 bench --synth q4_0,q4_k_m', 'without a download'],
  ],
  async run({ values, words, context }) {
    const { json = false, repetitions, synth = [] } = values
    const load = loadOptions(values)
    const tests = {
      ...readSizes('prompt', values.prompt),
      ...readSizes('predict', values.predict),
      ...readSizes('streams', values.streams),
      ...(repetitions !== undefined && { repetitions }),
    }
    const subjects = subjectsOf(words, load.model, synth.flatMap(commaList))
    const { bench } = await import('../bench/bench.js')
    const results: BenchResult[] = []
    try {
      for (const subject of subjects) {
        const progress = new ProgressLine(context.stderr, 'measuring')
        try {
          const onProgress = (fraction: number, test: string) => progress.update(fraction, test)
          results.push(await bench({ ...load, ...subject, ...tests, signal: context.signal, onProgress }))
        } finally {
          progress.end()
        }
        if (!('random' in subject)) await note(context, subject.model, results.at(-1)!)
      }
    } finally {
      // What was measured before a failure took its time.
      if (results.length > 0 && json) await writeJson(context.stdout, results)
      else if (results.length > 0) await write(context.stdout, `${formatResults(results)}\n`)
    }
    return 0
  },
})

type Subject = Pick<LoadOptions, 'model'> | Required<Pick<BenchOptions, 'random'>>

/** @throws {UsageError} */
function subjectsOf(words: readonly string[], model: string | undefined, types: readonly string[]): Subject[] {
  if (words.length > 0 && model !== undefined) {
    throw new UsageError('Name the models as arguments or one with --model, not both.')
  }
  const random = types.map((type) => ({ random: { type: madeType(type) } }))
  const named = words.map((word) => ({ model: word }))
  if (model !== undefined) named.push({ model })
  return named.length + random.length > 0 ? [...named, ...random] : [{}]
}

/** `1,8` → `['1', '8']` */
export function commaList(text: string): string[] {
  return text.split(',').map((part) => part.trim())
}

/**
 * The numbers that one of the flags was given: `8`, `1,8`, or several times. Absent when it was not given.
 * @throws {UsageError}
 */
export function readSizes<N extends string>(name: N, given: readonly string[] | undefined): { [Name in N]?: number[] } {
  if (given === undefined) return {}
  const sizes = given.flatMap(commaList).map((text) => readValue(name, { type: 'integer', doc: '' }, text) as number)
  return { [name]: sizes } as { [Name in N]?: number[] }
}

async function note(context: CliContext, chosen: string | undefined, { info }: BenchResult): Promise<void> {
  await noteModel(context, chosen, info)
  if (!info.embedded || chosen !== undefined || context.env.PHI2_MODEL) return
  await writeNote(
    context.stderr,
    'phi2: `phi2 bench --synth q4_k_m` measures the speed of the real one without a download.',
  )
}

/** `2.78 B`, `44.2 M` */
function formatCount(count: number): string {
  return count >= 1e9 ? `${(count / 1e9).toFixed(2)} B` : `${(count / 1e6).toFixed(1)} M`
}

function formatResults(results: readonly BenchResult[]): string {
  return formatTable([
    ['model', 'type', 'size', 'parameters', 'device', 'threads', 'test', 't/s'],
    ...results.flatMap(({ info, tests }) =>
      tests.map(({ name, speed }) => [
        info.name,
        info.fileType,
        formatBytes(info.size),
        formatCount(info.parameters),
        info.device,
        String(info.threads),
        name,
        formatSpeed(speed),
      ]),
    ),
  ])
}
