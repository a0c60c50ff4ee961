import type { Busy } from '../contenders/busy.js'
import type { SubjectDriver } from '../contenders/drive.js'
import { wordsText } from '../contenders/words.js'
import type { Measurement } from '../report/results.js'
import { alternate, type Bench, type Case, withLibraries } from './case.js'

export const DEPTH = 16

export const decode: Case = {
  name: 'decode',
  how:
    'Streams that decode together from their 16th position. Their prompts were read before and lie in the ' +
    'cache, so all begin at the same moment: what is timed is `tokens` steps with one token of each ' +
    'stream, as in llama-bench (-d 16) and llama-batched-bench (-npp 16). The text is streamed to the ' +
    'caller meanwhile.',
  models: 'each',
  run: async (bench) => [await decodeTogether(bench, { streams: 1, tokens: bench.quick ? 24 : 64, rounds: 5 })],
}

export const streams: Case = {
  name: 'streams',
  how: 'As `decode`, with 2, 8 and 32 streams.',
  models: 'each',
  async run(bench) {
    const measurements: Measurement[] = []
    for (const run of sizes(bench)) measurements.push(await decodeTogether(bench, run))
    return measurements
  },
}

interface Together {
  streams: number
  tokens: number
  rounds: number
}

function sizes({ quick, model }: Bench): Together[] {
  if (quick || model.further) return [{ streams: 8, tokens: quick ? 16 : 32, rounds: 3 }]
  return [
    { streams: 2, tokens: 32, rounds: 3 },
    { streams: 8, tokens: 32, rounds: 3 },
    { streams: 32, tokens: 12, rounds: 2 },
  ]
}

function decodeTogether(bench: Bench, { streams, tokens, rounds }: Together): Promise<Measurement> {
  return withLibraries(bench, { contextSize: 256, streams }, async (drivers) => {
    const rate = (driver: SubjectDriver) => async () => {
      const prompts = await readPrompts(driver, bench, streams)
      return (await decodeRun(driver, prompts, tokens)).rate
    }
    const title = streams === 1 ? 'decode, 1 stream' : `decode, ${streams} streams`
    const { path, name } = bench.model
    const values = await alternate(bench, bench.rounds(rounds), title, {
      phi2: rate(drivers.phi2),
      'llama.cpp': () =>
        streams === 1
          ? bench.tools.decode(path, { depth: DEPTH, tokens })
          : bench.tools.streams(path, { streams, depth: DEPTH, tokens }),
      'node-llama-cpp': rate(drivers['node-llama-cpp']),
    })
    return { id: `decode-${streams}`, title, model: name, unit: 'tok/s', better: 'more', values }
  })
}

/** New prompts, read into the cache. */
export async function readPrompts(
  driver: SubjectDriver,
  bench: Pick<Bench, 'fresh'>,
  streams: number,
): Promise<string[]> {
  const prompts = Array.from({ length: streams }, () => wordsText(DEPTH, bench.fresh()))
  await driver.call('run', { prompts, maxTokens: 1 })
  return prompts
}

/** All streams together, from prompts that were read before: tokens per second, and how busy the JavaScript thread was. */
export async function decodeRun(
  driver: SubjectDriver,
  prompts: readonly string[],
  maxTokens: number,
  busy?: Busy,
): Promise<{ rate: number; busyShare: number }> {
  const { ms, evaluated, busyShare } = await driver.call('run', { prompts, maxTokens, busy })
  const expected = prompts.length * maxTokens
  if (evaluated < expected) throw new Error(`${expected} tokens were wanted, ${evaluated} went through the model.`)
  return { rate: (evaluated * 1000) / ms, busyShare }
}
