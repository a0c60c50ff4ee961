/**
 * Prompt-lookup decoding beside plain decoding, alternating, on a full-size model that writes a text known beforehand (see
 * chain-model.ts): how much faster is it where the text repeats its prompt, and what does it cost where it does not?
 *
 * Usage: npx tsx bench/speculate.ts [--model q4_k_m|q4_0] [--task NAME]... [--rounds N] [--tokens N] [--length N]
 *          [--flash-attention true|false] [--json]
 *
 * --length makes every draft of this many tokens: together with --task copy it shows what a step of so many tokens takes.
 */
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { randomSource } from '../gguf/random-weights.js'
import { plainRequest } from '../src/evaluate.js'
import { Phi2 } from '../src/index.js'
import type { NativeEndEvent } from '../src/native.js'
import { packageRoot } from '../src/package-root.js'
import type { LoadOptions } from '../src/types.js'
import { alternate } from './cases/case.js'
import { CHAIN_LENGTH, chain, writeChainModel } from './chain-model.js'
import { MODELS, type ModelName } from './options.js'
import { ratio, summarize } from './report/results.js'
import { alignedTable, digits } from './report/table.js'

export interface Task {
  name: string
  title: string
  /** The prompt before a text that the model will write. */
  prompt: (text: Int32Array, random: () => number) => number[]
  /** What prompt-lookup decoding is to be of plain decoding at least. */
  atLeast?: number
}

/** Tokens of a line of code. */
const LINE = 8

export const TASKS: readonly Task[] = [
  {
    name: 'edit',
    title: 'a tenth of the prompt edited, line by line',
    prompt: (text, random) => replaced(text, 0.1, LINE, random),
    atLeast: 1.8,
  },
  {
    name: 'scattered',
    title: 'a tenth of the prompt edited, single tokens',
    prompt: (text, random) => replaced(text, 0.1, 1, random),
  },
  { name: 'copy', title: 'the prompt repeated', prompt: (text) => [...text] },
  { name: 'new', title: 'nothing repeats', prompt: (text, random) => replaced(text, 1, 1, random), atLeast: 0.97 },
  {
    name: 'third',
    title: 'every third token of the prompt another one',
    prompt: (text, random) => Array.from(text, (token, i) => (i % 3 === 0 ? anyToken(random) : token)),
    atLeast: 0.97,
  },
  {
    name: 'pairs',
    title: 'every pair stands in the prompt, followed by another token',
    prompt: (text, random) =>
      Array.from(text.subarray(0, text.length / 3), (token, i) => [token, text[i + 1]!, anyToken(random)]).flat(),
    atLeast: 0.97,
  },
]

function replaced(text: Int32Array, share: number, inARow: number, random: () => number): number[] {
  const before: number[] = []
  while (before.length < text.length) {
    const edit = random() / 2 ** 32 < share / inARow
    for (let i = edit ? inARow : 1; i > 0 && before.length < text.length; i--) {
      before.push(edit ? anyToken(random) : text[before.length]!)
    }
  }
  return before
}

function anyToken(random: () => number): number {
  return chain(random() % CHAIN_LENGTH, 1)[0]!
}

export interface SpeculationRun {
  /** Decoding, without the prompt: tokens per second. */
  rate: number
  accepted: number
  rejected: number
}

/** Runs tasks on a chain model; every run has another text. */
export class Speculation {
  #runs = 0

  constructor(private readonly phi2: Phi2) {}

  static async load(path: string, options: LoadOptions = {}): Promise<Speculation> {
    return new Speculation(await Phi2.load({ model: path, maxSequences: 1, ...options }))
  }

  close(): Promise<void> {
    return this.phi2.close()
  }

  async run(task: Task, tokens: number, speculate: 'none' | 'lookup', length = 0): Promise<SpeculationRun> {
    const run = this.#runs++
    const random = randomSource(run)
    // The two of a round get texts alike, not the same one: it would be in the cache.
    const text = chain(run * (tokens + 1), tokens + 1)
    const prompt = Int32Array.from([...task.prompt(text.subarray(1), random), text[0]!])
    const request = {
      ...plainRequest(prompt),
      n_predict: tokens,
      speculate,
      n_draft: speculate === 'none' ? 0 : length,
    }
    const { engine, dispatcher } = this.phi2.internals
    const written: number[] = []
    const end = await new Promise<NativeEndEvent>((resolve, reject) => {
      const onChunk = (event: { tokens: Int32Array }) => written.push(...event.tokens)
      dispatcher.submit(engine, request, [{ onChunk, onEnd: resolve, onError: reject }])
    })
    const wrong = written.findIndex((token, i) => token !== text[i + 1])
    if (wrong >= 0 || written.length !== tokens) {
      throw new Error(`The model left its chain at token ${wrong} of ${written.length}.`)
    }
    return {
      rate: ((tokens - 1) * 1000) / end.decodeMs,
      accepted: end.acceptedPredictionTokens,
      rejected: end.rejectedPredictionTokens,
    }
  }
}

/** The file of a chain model, made if it is not there. */
export async function chainModel(type: ModelName): Promise<string> {
  const folder = join(packageRoot(), 'build', 'bench')
  await mkdir(folder, { recursive: true })
  const path = join(folder, `phi-2-chain-${type}.gguf`)
  if (!existsSync(path)) await writeChainModel(path, type)
  return path
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      model: { type: 'string', default: 'q4_k_m' },
      task: { type: 'string', multiple: true },
      rounds: { type: 'string', default: '5' },
      tokens: { type: 'string', default: '400' },
      length: { type: 'string', default: '0' },
      'flash-attention': { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  const type = MODELS.find((name) => name === values.model)
  if (type === undefined) throw new Error(`Expected ${MODELS.join(' or ')} for --model`)
  const { 'flash-attention': flash } = values
  const options = flash === undefined ? {} : { flashAttention: flash === 'true' }
  const speculation = await Speculation.load(await chainModel(type), options)
  const results = []
  for (const task of TASKS.filter(({ name }) => values.task?.includes(name) ?? true)) {
    const runs: Record<'plain' | 'lookup', SpeculationRun[]> = { plain: [], lookup: [] }
    const measure = (way: 'plain' | 'lookup') => async () => {
      const speculate = way === 'plain' ? 'none' : way
      const run = await speculation.run(task, Number(values.tokens), speculate, Number(values.length))
      runs[way].push(run)
      return run.rate
    }
    const progress = (text: string) => process.stderr.write(`${text}\n`)
    const rates = await alternate({ progress }, Number(values.rounds), task.name, {
      plain: measure('plain'),
      lookup: measure('lookup'),
    })
    results.push({ ...task, model: type, rates, runs })
  }
  await speculation.close()

  if (values.json) {
    const rounded = (rate: number) => Number(rate.toFixed(2))
    const lines = results.map(({ name, model, rates, runs, atLeast }) => ({
      ...{ name, model, plain: rates.plain?.map(rounded), lookup: rates.lookup?.map(rounded) },
      ratio: rounded(ratio(rates.lookup, rates.plain)!.median),
      ...{ accepted: runs.lookup.map((run) => run.accepted), rejected: runs.lookup.map((run) => run.rejected) },
      ...(atLeast === undefined ? {} : { atLeast }),
    }))
    process.stdout.write(`${JSON.stringify(lines, null, 2)}\n`)
    return
  }
  const head = ['', 'plain tok/s', 'lookup tok/s', 'lookup : plain', 'wanted', 'right of guessed']
  const rows = results.map(({ title, rates, runs, atLeast }) => {
    const speedup = ratio(rates.lookup, rates.plain)!
    const sum = (of: 'accepted' | 'rejected') => runs.lookup.reduce((total, run) => total + run[of], 0)
    return [
      title,
      digits(summarize(rates.plain!).median),
      digits(summarize(rates.lookup!).median),
      `${speedup.median.toFixed(2)} (${speedup.min.toFixed(2)} … ${speedup.max.toFixed(2)})`,
      atLeast === undefined ? '' : `≥ ${atLeast}`,
      `${sum('accepted')} of ${sum('accepted') + sum('rejected')}`,
    ]
  })
  process.stdout.write(`${alignedTable([head, ...rows])}\n`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
