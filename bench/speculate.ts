/**
 * Prompt-lookup decoding beside plain decoding, alternating, on a full-size model that writes a text known beforehand (see
 * speculate/chain-model.ts): how much faster is it where the text repeats its prompt, and what does it cost where it does not?
 *
 * Usage: npx tsx bench/speculate.ts [--model q4_k_m|q4_0] [--task NAME]... [--rounds N] [--tokens N] [--length N]
 *          [--flash-attention true|false] [--json]
 *
 * --length makes every draft of this many tokens: together with --task copy it shows what a step of so many tokens takes.
 */
import { parseArgs } from 'node:util'
import { alternate } from './cases/case.js'
import { MODELS } from './options.js'
import { ratio, summarize } from './report/results.js'
import { alignedTable, digits } from './report/table.js'
import { chainModel, Speculation, type SpeculationRun } from './speculate/speculation.js'
import { TASKS } from './speculate/tasks.js'

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

await main()
