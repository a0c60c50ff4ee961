import { fileURLToPath } from 'node:url'
import type { BurnerVerbs } from '../contenders/burner.js'
import type { Busy } from '../contenders/busy.js'
import type { SubjectDriver } from '../contenders/drive.js'
import { Driver } from '../contenders/rpc.js'
import { CONTENDERS, type Measurement, summarize } from '../report/results.js'
import { alternate, type Case, withLibraries } from './case.js'
import { DEPTH, decodeRun, readPrompts } from './decode.js'

const BURNER = fileURLToPath(new URL('../contenders/burner.ts', import.meta.url))

const KINDS = [
  { busy: undefined, id: 'idle', title: 'decode, JS thread idle' },
  { busy: 'blocked', id: 'blocked', title: 'decode, JS thread blocked 5 of 10 ms' },
  { busy: 'burning', id: 'burning', title: 'decode, JS thread computing 5 of 10 ms' },
] as const satisfies { busy: Busy | undefined; id: string; title: string }[]

export const busy: Case = {
  name: 'busy',
  how:
    'One stream while the JavaScript thread is busy half of the time: blocked without using the processor, ' +
    'or computing. Computing takes processor time away from an engine that uses all cores; how much is lost ' +
    'to that alone shows llama-bench beside a process that computes as much.',
  models: 'first',
  run: (bench) =>
    withLibraries(bench, { contextSize: 256, streams: 1 }, async (drivers) => {
      const tokens = bench.quick ? 16 : 32
      const shares: Record<Busy, number[]> = { blocked: [], burning: [] }
      const rate = (driver: SubjectDriver, busy: Busy | undefined) => async () => {
        const { rate, busyShare } = await decodeRun(driver, await readPrompts(driver, bench, 1), tokens, busy)
        if (busy) shares[busy].push(busyShare)
        return rate
      }
      const alone = () => bench.tools.decode(bench.model.path, { depth: DEPTH, tokens })
      // Kinds are compared with each other too, so they take turns as well.
      const runs: Record<string, () => Promise<number>> = {}
      for (const { id, busy } of KINDS) {
        runs[`phi2, ${id}`] = rate(drivers.phi2, busy)
        if (busy !== 'blocked') runs[`llama.cpp, ${id}`] = busy ? () => besideBurner(busy, alone) : alone
        runs[`node-llama-cpp, ${id}`] = rate(drivers['node-llama-cpp'], busy)
      }
      const values = await alternate(bench, bench.rounds(4), 'busy', runs)
      return KINDS.map(({ id, title, busy }): Measurement => {
        const own = CONTENDERS.flatMap((contender) => {
          const series = values[`${contender}, ${id}`]
          return series ? [[contender, series]] : []
        })
        return {
          ...{ id: `busy-${id}`, title, model: bench.model.name, unit: 'tok/s', better: 'more' },
          values: Object.fromEntries(own),
          ...(busy ? { remark: remarkOn(busy, shares[busy]) } : {}),
        }
      })
    }),
}

function remarkOn(busy: Busy, shares: readonly number[]): string {
  const { min, max } = summarize(shares)
  const share = `the thread was busy ${Math.round(100 * min)} to ${Math.round(100 * max)} % of the time`
  return busy === 'burning' ? `${share}; llama-bench ran beside a process that computes as much` : share
}

async function besideBurner(busy: Busy, measure: () => Promise<number>): Promise<number> {
  const burner = new Driver<BurnerVerbs>(BURNER)
  try {
    await burner.call('start', busy)
    return await measure()
  } finally {
    await burner.close()
  }
}
