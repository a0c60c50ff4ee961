import { MODELS } from '../options.js'
import type { Measurement } from '../report/results.js'
import { chainModel, Speculation } from '../speculate/speculation.js'
import { TASKS, type Task } from '../speculate/tasks.js'
import { alternate, type Bench, type Case } from './case.js'

const NAMES = ['edit', 'new']

export const speculate: Case = {
  name: 'speculate',
  how:
    'Prompt-lookup decoding (`speculate: "lookup"`) beside plain decoding, on a full-size model that writes a text known ' +
    'beforehand: where the prompt is edited, and where nothing repeats. Only decoding is timed. bench/speculate.ts ' +
    'has more tasks.',
  models: 'first',
  async run(bench) {
    const type = MODELS.find((name) => name === bench.model.name)
    if (type === undefined) return []
    const speculation = await Speculation.load(await chainModel(type), { threads: bench.threads, tuned: false })
    try {
      const measurements: Measurement[] = []
      for (const task of TASKS.filter(({ name }) => NAMES.includes(name))) {
        measurements.push(...(await measure(bench, speculation, task)))
      }
      return measurements
    } finally {
      await speculation.close()
    }
  },
}

async function measure(bench: Bench, speculation: Speculation, task: Task): Promise<Measurement[]> {
  const tokens = bench.quick ? 80 : 200
  const rate = (way: 'none' | 'lookup') => async () => (await speculation.run(task, tokens, way)).rate
  const title = `speculate, ${task.title}`
  const { plain = [], lookup = [] } = await alternate(bench, bench.rounds(3), title, {
    plain: rate('none'),
    lookup: rate('lookup'),
  })
  const common = { model: bench.model.name, unit: 'tok/s', better: 'more' } as const
  return [
    { ...common, id: `speculate-${task.name}-plain`, title: `plain decoding, ${task.title}`, values: { phi2: plain } },
    { ...common, id: `speculate-${task.name}`, title: `lookup, ${task.title}`, values: { phi2: lookup } },
  ]
}
