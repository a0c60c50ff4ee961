import type { TunedOptions } from '../types.js'
import { median } from './speed.js'

/** One answer to a prompt, in milliseconds. */
export interface Times {
  prompt: number
  decode: number
}

/** A set of options and how long the answer took with it, round by round. */
export interface Trial {
  options: TunedOptions
  times: Times[]
}

/** What one option, or two that belong together, can be; the others stay as they are. */
export interface Stage {
  name: string
  candidates: readonly Partial<TunedOptions>[]
}

export interface StageResult {
  name: string
  trials: Trial[]
  /** The trial that is best. */
  chosen: number
}

export interface SearchResult {
  stages: StageResult[]
  /** The default options against the ones chosen, measured once more; undefined where no other was better. */
  confirmation: { defaults: Trial; chosen: Trial } | undefined
  /** The default ones, unless others proved better. */
  options: TunedOptions
}

/** Smaller gains than this are no reason to leave a default. */
const MARGIN = 1.02
/** What took this much longer in the first round is not tried again. */
const HOPELESS = 1.5

/**
 * Whether the first is better: its answers came sooner in every round, and by more than 2 % in the middle one. Rounds are
 * compared with each other, because both were measured one soon after the other: what slows the whole machine down for a
 * while slows both.
 */
export function isBetter(a: readonly Times[], b: readonly Times[]): boolean {
  const ratios = ratiosOf(a, b, ({ prompt, decode }) => prompt + decode)
  return ratios.length > 0 && ratios.every((ratio) => ratio > 1) && median(ratios) > MARGIN
}

/** How many times sooner the first was than the second, in the rounds that both have. */
export function ratiosOf(a: readonly Times[], b: readonly Times[], part: (times: Times) => number): number[] {
  return a.slice(0, b.length).map((times, round) => part(b[round]!) / part(times))
}

/** The trial that no other is better than, beginning with the one whose options are in use: it stays where others are alike. */
export function chooseTrial(trials: readonly Trial[], preset: number): number {
  return trials.reduce((best, trial, index) => (isBetter(trial.times, trials[best]!.times) ? index : best), preset)
}

/**
 * Finds the options with which an answer comes soonest: stage by stage, each with what the earlier ones chose. In each the
 * candidates take turns, for several rounds. At the end the result must prove itself against the defaults.
 *
 * @param step is told the share that is done, before each measurement
 */
export async function search(
  { defaults, stages, rounds }: { defaults: TunedOptions; stages: readonly Stage[]; rounds: number },
  measure: (options: TunedOptions) => Promise<Times>,
  step: (fraction: number, stage: string) => void,
): Promise<SearchResult> {
  // The confirmation counts for two candidates.
  const total = rounds * stages.reduce((sum, { candidates }) => sum + candidates.length, 2)
  let done = 0
  // What others must beat is measured in every round: slow in the first, it may only have been disturbed.
  const runTrials = async (name: string, trials: Trial[], mustLast: (tried: TunedOptions) => boolean) => {
    for (let round = 0; round < rounds; round++) {
      const soonest = Math.min(...trials.map(({ times }) => totalOf(times[0])))
      for (const { options, times } of trials) {
        step(done++ / total, name)
        const isHopeless = round > 0 && totalOf(times[0]) > HOPELESS * soonest
        if (!isHopeless || mustLast(options)) times.push(await measure(options))
      }
    }
    return trials
  }

  let options = defaults
  const results: StageResult[] = []
  for (const { name, candidates } of stages) {
    const isPreset = (tried: TunedOptions) => isSame(tried, options)
    const trials = await runTrials(
      name,
      candidates.map((candidate) => ({ options: { ...options, ...candidate }, times: [] })),
      isPreset,
    )
    const preset = trials.findIndex((trial) => isPreset(trial.options))
    const chosen = chooseTrial(trials, Math.max(0, preset))
    options = trials[chosen]!.options
    results.push({ name, trials, chosen })
  }
  if (isSame(options, defaults)) return { stages: results, confirmation: undefined, options }
  const finalists: Trial[] = [defaults, options].map((each) => ({ options: each, times: [] }))
  const [before, after] = await runTrials('confirmation', finalists, () => true)
  const confirmation = { defaults: before!, chosen: after! }
  return { stages: results, confirmation, options: isBetter(after!.times, before!.times) ? options : defaults }
}

function totalOf(times: Times | undefined): number {
  return times === undefined ? Number.POSITIVE_INFINITY : times.prompt + times.decode
}

export function isSame(a: TunedOptions, b: TunedOptions): boolean {
  return (Object.keys(a) as (keyof TunedOptions)[]).every((name) => a[name] === b[name])
}
