import type { SubjectDriver } from '../contenders/drive.js'
import { wordsText } from '../contenders/words.js'
import type { Measurement } from '../report/results.js'
import { alternate, type Bench, type Case, withLibraries } from './case.js'

export const prefill: Case = {
  name: 'prefill',
  how:
    'A prompt that begins like none before is answered with one token, by the libraries from the call ' +
    'until the answer is there; llama-bench decodes as many random tokens and takes the logits of the ' +
    'last.',
  models: 'each',
  run: (bench) =>
    withLibraries(bench, { contextSize: 2048, streams: 1 }, async (drivers) => {
      const measurements: Measurement[] = []
      for (const drivers_ of Object.values(drivers)) await prefillMs(drivers_, bench, 64) // warms up
      for (const { tokens, rounds } of lengths(bench)) {
        const title = `prefill ${tokens}`
        const rate = (driver: SubjectDriver) => async () => (tokens * 1000) / (await prefillMs(driver, bench, tokens))
        const values = await alternate(bench, bench.rounds(rounds), title, {
          phi2: rate(drivers.phi2),
          'llama.cpp': () => bench.tools.prefill(bench.model.path, tokens),
          'node-llama-cpp': rate(drivers['node-llama-cpp']),
        })
        measurements.push({
          id: `prefill-${tokens}`,
          title,
          model: bench.model.name,
          unit: 'tok/s',
          better: 'more',
          values,
        })
      }
      return measurements
    }),
}

// Rounds differ by some percent on a machine that is shared, and the targets of this length are closer than that.
const JUDGED = { tokens: 512, rounds: 9 }

function lengths({ quick, model }: Bench): { tokens: number; rounds: number }[] {
  if (quick || model.further) return [JUDGED]
  return [{ tokens: 32, rounds: 5 }, { tokens: 128, rounds: 4 }, JUDGED, { tokens: 1500, rounds: 2 }]
}

/** Milliseconds until a new prompt of so many tokens has its first token. */
export async function prefillMs(driver: SubjectDriver, bench: Pick<Bench, 'fresh'>, tokens: number): Promise<number> {
  const { ms, evaluated } = await driver.call('run', { prompts: [wordsText(tokens, bench.fresh())], maxTokens: 1 })
  if (evaluated !== tokens) throw new Error(`A prompt of ${tokens} tokens took ${evaluated} through the model.`)
  return ms
}
