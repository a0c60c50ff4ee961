import { spread } from '../../gguf/statistics.js'

export const CONTENDERS = ['phi2', 'llama.cpp', 'node-llama-cpp'] as const
export type Contender = (typeof CONTENDERS)[number]

/** One figure of all contenders. */
export interface Measurement {
  /** What targets refer to; with the model's name it is unique. */
  id: string
  title: string
  model: string
  unit: 'tok/s' | 'ms' | 'MB' | 'tokens' | 'characters' | 'µs/token'
  better: 'more' | 'less'
  /** Of each contender one value per round, in the order of the rounds; of one that has no such thing, none. */
  values: Partial<Record<Contender, readonly number[]>>
  remark?: string
}

export interface Summary {
  median: number
  min: number
  max: number
}

export function summarize(values: readonly number[]): Summary {
  const { min, max, percentiles } = spread(Float64Array.from(values))
  return { median: percentiles['50%'], min, max }
}

/** The value that this share of the values does not exceed; between two of them, linear. */
export function quantile(values: readonly number[], share: 0.5 | 0.99): number {
  return spread(Float64Array.from(values)).percentiles[share === 0.5 ? '50%' : '99%']
}

/**
 * How many times `b` one measures for `a`: the median over the rounds, in each of which the two were measured one after
 * the other, so that what slows the whole machine down for a while cancels out.
 */
export function ratio(a: readonly number[] = [], b: readonly number[] = []): Summary | undefined {
  const rounds = Math.min(a.length, b.length)
  return rounds === 0 ? undefined : summarize(a.slice(0, rounds).map((value, round) => value / b[round]!))
}

export interface Results {
  format: 'phi2-bench'
  version: 1
  date: string
  command: string
  machine: Record<string, string>
  versions: Record<string, string>
  settings: Record<string, string>
  measurements: readonly Measurement[]
  /** Cases that could not be measured, and why. */
  failures: readonly { name: string; reason: string }[]
  /** Runs of some cases, whose figures took the place of those of the first run. */
  updates?: readonly { date: string; command: string; phi2: string }[]
}

// What must not change between a whole run and a later one of some cases.
const SAME = { machine: ['Machine', 'Threads'], versions: ['node-llama-cpp', 'Node.js'] } as const

/**
 * A whole run with the figures of a later one in their place; `cases` names what that measured.
 * @throws {Error} if the two did not run on the same machine with the same peer.
 */
export function updated(whole: Results, part: Results, cases: readonly string[]): Results {
  for (const facts of ['machine', 'versions'] as const) {
    for (const name of SAME[facts]) {
      const [was, is] = [whole[facts][name], part[facts][name]]
      if (was !== is) throw new Error(`The last whole run says ${name}: ${was}; now it is ${is}. Run all cases again.`)
    }
  }
  const key = ({ id, model }: Measurement) => `${id} ${model}`
  const newer = new Map(part.measurements.map((measurement) => [key(measurement), measurement]))
  const known = new Set(whole.measurements.map(key))
  return {
    ...whole,
    measurements: [
      ...whole.measurements.map((measurement) => newer.get(key(measurement)) ?? measurement),
      ...part.measurements.filter((measurement) => !known.has(key(measurement))),
    ],
    failures: [...whole.failures.filter(({ name }) => !cases.includes(name)), ...part.failures],
    updates: [
      ...(whole.updates ?? []),
      { date: part.date, command: part.command, phi2: part.versions.phi2 ?? 'unknown' },
    ],
  }
}
