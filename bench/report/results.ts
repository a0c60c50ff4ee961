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
}
