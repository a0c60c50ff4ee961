import type { Measurement } from '../report/results.js'
import { alternate, type Case, LIBRARIES, type Library, withLibraries } from './case.js'

const LENGTHS = [100, 1500]
const PROMPT = 'Once upon a time'

export const cost: Case = {
  name: 'cost',
  how:
    'Processor time that the JavaScript thread spends on a token of a streamed answer, short and long. ' +
    'With a small model, whose tokens come fast.',
  models: 'small',
  run: (bench) =>
    withLibraries(bench, { contextSize: 2048, streams: 1 }, async (drivers) => {
      for (const driver of Object.values(drivers)) await driver.call('cpu', { prompt: PROMPT, maxTokens: 500 }) // compiles
      const measurements: Measurement[] = []
      for (const maxTokens of LENGTHS) {
        const title = `time of the JS thread, ${maxTokens} tokens`
        const perToken = (library: Library) => async () => {
          const { ms, tokens } = await drivers[library].call('cpu', { prompt: PROMPT, maxTokens })
          if (tokens < maxTokens) throw new Error(`An answer ended after ${tokens} of ${maxTokens} tokens.`)
          return (ms * 1000) / tokens
        }
        const each = Object.fromEntries(LIBRARIES.map((library) => [library, perToken(library)]))
        const values = await alternate(bench, bench.rounds(5), title, each)
        measurements.push({
          id: `cost-${maxTokens}`,
          title,
          model: bench.model.name,
          unit: 'µs/token',
          better: 'less',
          values,
        })
      }
      return measurements
    }),
}
