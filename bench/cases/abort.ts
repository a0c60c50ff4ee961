import type { SubjectDriver } from '../contenders/drive.js'
import { wordsText } from '../contenders/words.js'
import { type Contender, type Measurement, quantile } from '../report/results.js'
import { type Bench, type Case, LIBRARIES, type Library, withLibraries } from './case.js'

type Phase = 'prefill' | 'decode'

// node-llama-cpp reads a prompt to its end before it looks: each abort in its prefill takes seconds.
const ABORTS: Record<Library, Record<Phase, number>> = {
  phi2: { prefill: 100, decode: 100 },
  'node-llama-cpp': { prefill: 5, decode: 30 },
}
const PROMPT_TOKENS: Record<Phase, number> = { prefill: 512, decode: 16 }
const DELAYS: Record<Phase, { from: number; to: number }> = {
  prefill: { from: 20, to: 1500 },
  decode: { from: 1, to: 200 },
}

export const abort: Case = {
  name: 'abort',
  how:
    'From `abort()` until the promise is settled, and until the engine says that nothing runs. Aborted ' +
    'after delays that lie evenly on a logarithmic scale, so that the first chunks of a prompt and the ' +
    'later ones are met.',
  models: 'first',
  run: (bench) =>
    withLibraries(bench, { contextSize: 2048, streams: 1 }, async (drivers) => {
      const measurements: Measurement[] = []
      for (const phase of ['prefill', 'decode'] as const) {
        const settled: Partial<Record<Library, number[]>> = {}
        const idle: Partial<Record<Library, number[]>> = {}
        for (const library of LIBRARIES) {
          const count = bench.quick ? Math.ceil(ABORTS[library][phase] / 10) : ABORTS[library][phase]
          bench.progress(`abort in ${phase}, ${count} times: ${library}`)
          const found = await abortOften(drivers[library], bench, phase, count)
          settled[library] = found.settled
          if (found.idle.length > 0) idle[library] = found.idle
        }
        measurements.push(
          ...quantiles(bench, `abort-${phase}-settled`, `abort in ${phase}: promise settled`, settled),
          ...quantiles(bench, `abort-${phase}-idle`, `abort in ${phase}: engine idle`, idle),
        )
      }
      return measurements
    }),
}

function abortOften(driver: SubjectDriver, bench: Bench, phase: Phase, count: number) {
  const { from, to } = DELAYS[phase]
  const delays = Array.from({ length: count }, (_, i) => from * (to / from) ** ((i + 0.5) / count))
  const prompts = delays.map(() => wordsText(PROMPT_TOKENS[phase], bench.fresh()))
  return driver.call('abort', { phase, prompts, delays })
}

function quantiles(
  bench: Bench,
  id: string,
  title: string,
  samples: Partial<Record<Contender, number[]>>,
): Measurement[] {
  const counts = Object.entries(samples).map(([contender, values]) => `${contender}: ${values.length} aborts`)
  return ([0.5, 0.99] as const).map((share) => ({
    id: `${id}-p${share * 100}`,
    title: `${title}, p${share * 100}`,
    model: bench.model.name,
    unit: 'ms',
    better: 'less',
    values: Object.fromEntries(
      Object.entries(samples).map(([contender, values]) => [contender, [quantile(values, share)]]),
    ),
    remark: counts.join(', '),
  }))
}
