import { parseArgs } from 'node:util'

export const MODELS = ['q4_k_m', 'q4_0'] as const
export type ModelName = (typeof MODELS)[number]

export interface BenchOptions {
  quick: boolean
  /** Names of cases; all, if there are none. */
  cases: readonly string[]
  /** Rounds of every case, instead of its own number. */
  rounds: number | undefined
  models: readonly ModelName[]
  /** What is measured takes the place of the same figures in the last whole run; without cases that is only reported anew. */
  update: boolean
}

export class UsageError extends Error {}

/** Reads the command line of `npm run bench`. */
export function parseBenchOptions(args: readonly string[], knownCases: readonly string[]): BenchOptions {
  const { quick, cases, rounds, model, update } = parse(args)
  const names = (cases ?? '').split(',').filter((name) => name !== '')
  const unknown = names.find((name) => !knownCases.includes(name))
  if (unknown !== undefined) throw new UsageError(`There is no case ${unknown}. Known are: ${knownCases.join(', ')}`)
  if (rounds !== undefined && !/^[1-9]\d{0,2}$/.test(rounds)) {
    throw new UsageError(`Expected a number from 1 to 999 for --rounds but received ${rounds}`)
  }
  if (update && (quick || rounds !== undefined)) {
    throw new UsageError('--update does not go with --quick or --rounds: its figures stand beside those of a whole run')
  }
  const known = MODELS.find((name) => name === model)
  if (model !== undefined && known === undefined) {
    throw new UsageError(`Expected ${MODELS.join(' or ')} for --model but received ${model}`)
  }
  return {
    quick,
    cases: names,
    rounds: rounds === undefined ? undefined : Number(rounds),
    models: known ? [known] : MODELS,
    update,
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        quick: { type: 'boolean', default: false },
        cases: { type: 'string' },
        rounds: { type: 'string' },
        model: { type: 'string' },
        update: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}
