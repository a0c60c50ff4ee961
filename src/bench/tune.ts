import { optionError, Phi2Error } from '../errors.js'
import { provideModel } from '../models/provide.js'
import { checkOptions, loadSchema, type OptionSpec, resolveLoad } from '../options.js'
import { Phi2 } from '../phi2.js'
import { chooseHere } from '../placement/place.js'
import { chooseThreads, defaultThreads, usableProcessors } from '../threads.js'
import { tunedKey } from '../tuned/find.js'
import type { TunedGain, TunedKey, TunedProfile } from '../tuned/profile.js'
import { prepareStore, storeProfile, tunedPath } from '../tuned/store.js'
import type { LoadOptions, ModelInfo, TunedOptions } from '../types.js'
import { batchCandidates, FLASH_ATTENTION_CANDIDATES, threadCandidates } from './candidates.js'
import { createRunner } from './runner.js'
import { isSame, ratiosOf, type SearchResult, type Stage, search, type Times, type Trial } from './search.js'
import { median, type Speed, summarize } from './speed.js'

/** Options of {@link tune}: what an answer is like, and for which model. */
export interface TuneOptions extends Pick<LoadOptions, 'model' | 'gpuLayers' | 'device' | 'kvType' | 'signal'> {
  /** Tokens of the prompt that is measured: as long as yours are. @default 512 */
  prompt?: number
  /** Tokens of the answer. @default 128 */
  predict?: number
  /** Rounds in which each set of options is measured. @default 3 */
  repetitions?: number
  /** Measure, but store nothing. @default false */
  dryRun?: boolean
  /** The share that is done, 0 to 1, and what is being measured. */
  onProgress?: (fraction: number, stage: string) => void
}

/** One set of options and how fast an answer came with it. */
export interface TuneTrial {
  options: TunedOptions
  /** Tokens per second of the prompt. */
  prefill: Speed
  /** Tokens per second of the answer. */
  decode: Speed
  /** Milliseconds of the whole answer, in the middle round. */
  totalMs: number
}

export interface TuneStage {
  /** `threads`, `batch` or `flash attention`. */
  name: string
  trials: TuneTrial[]
  /** Which of them is best. */
  chosen: number
}

export interface TuneResult {
  /** The model with the default options. */
  info: ModelInfo
  key: TunedKey
  promptTokens: number
  predictTokens: number
  rounds: number
  defaults: TunedOptions
  stages: TuneStage[]
  /** The defaults and what the stages chose, measured against each other; absent where they chose the defaults. */
  confirmation?: { defaults: TuneTrial; chosen: TuneTrial }
  /** What is stored: the defaults, unless others proved better. */
  options: TunedOptions
  gain: TunedGain
  /** The file of the profiles; absent after a dry run. */
  path?: string
  seconds: number
}

export const tuneSchema = {
  prompt: { type: 'integer', min: 1, max: 2046, default: 512, doc: 'Tokens of the prompt that is measured', cli: true },
  predict: { type: 'integer', min: 2, max: 2047, default: 128, doc: 'Tokens of the answer', cli: true },
  repetitions: { type: 'integer', min: 1, max: 100, default: 3, doc: 'Rounds of each measurement', cli: true },
  dryRun: { type: 'boolean', default: false, doc: 'Measure, but store nothing', cli: true },
} as const satisfies Record<Exclude<keyof TuneOptions, keyof LoadOptions>, OptionSpec>

const schema = {
  ...tuneSchema,
  model: loadSchema.model,
  gpuLayers: loadSchema.gpuLayers,
  device: loadSchema.device,
  kvType: loadSchema.kvType,
  signal: loadSchema.signal,
  onProgress: loadSchema.onProgress,
} as const satisfies Record<keyof TuneOptions, OptionSpec>

/**
 * Finds the threads, batch sizes and flash attention with which this machine answers soonest, and stores them as the
 * profile of this kind of model: {@link Phi2.load} uses it for options that are not given. Takes some minutes, in which nothing
 * else should run.
 *
 * Better is what answered sooner in every round, and by more than 2 % in the middle one; where nothing is, the defaults
 * stay. What the stages chose is measured once more against the defaults at the end: that is the gain.
 *
 * @example
 * const { options, gain } = await tune({ model: 'q4_k_m' })
 * console.log(options.threads, `${((gain.total - 1) * 100).toFixed(0)} % sooner`)
 *
 * @throws {Phi2Error} the codes of `Phi2.load`; `PHI2_IO` or `PHI2_NO_SPACE` when the profile cannot be written. A TypeError
 * or RangeError with `PHI2_INVALID_OPTION` for wrong options; `signal.reason` when aborted: then nothing is stored.
 */
export async function tune(options: TuneOptions = {}): Promise<TuneResult> {
  const given = checkOptions<TuneOptions>(options, schema)
  const { signal, dryRun = false } = given
  const promptTokens = given.prompt ?? schema.prompt.default
  const predictTokens = given.predict ?? schema.predict.default
  const rounds = given.repetitions ?? schema.repetitions.default
  if (promptTokens + predictTokens > loadSchema.contextSize.default) {
    throw optionError(
      'range',
      `Expected at most ${loadSchema.contextSize.default} tokens of prompt and answer together but received ${promptTokens} and ${predictTokens}`,
    )
  }
  const load: LoadOptions = {
    ...(given.gpuLayers !== undefined && { gpuLayers: given.gpuLayers }),
    ...(given.device !== undefined && { device: given.device }),
    ...(given.kvType !== undefined && { kvType: given.kvType }),
    ...(signal && { signal }),
    tuned: false,
  }
  const resolved = resolveLoad(load)
  signal?.throwIfAborted()
  const started = performance.now()
  if (!dryRun) await prepareStore()
  const { model } = await provideModel(given.model, { signal })
  const key = await tunedKey(model, resolved, chooseHere(resolved))
  if (key === undefined) throw untyped(model.path)
  const { batchSize, microBatchSize, flashAttention } = resolved
  const defaults = { threads: chooseThreads(undefined, model.bytes).threads, batchSize, microBatchSize, flashAttention }

  let info: ModelInfo | undefined
  const measure = async (tried: TunedOptions): Promise<Times> => {
    await using phi2 = await Phi2.load({ ...load, ...tried, model: model.path })
    info ??= phi2.info
    const run = createRunner(phi2, signal)
    await run(WARM_UP)
    const { promptMs, decodeMs, completionTokens } = await run({ promptTokens, predictTokens, streams: 1 })
    // A model with another token that ends texts may have come to it.
    return { prompt: promptMs, decode: (decodeMs * (predictTokens - 1)) / Math.max(1, completionTokens - 1) }
  }
  const stages = listStages(defaults, promptTokens)
  const found = await search({ defaults, stages, rounds }, measure, (fraction, stage) =>
    given.onProgress?.(fraction, stage),
  )
  given.onProgress?.(1, 'done')

  const gain = gainOf(found, defaults)
  const profile: TunedProfile = {
    key,
    options: found.options,
    gain,
    promptTokens,
    predictTokens,
    date: new Date().toISOString(),
  }
  if (!dryRun) await storeProfile(profile)
  const report = (trial: Trial) => describeTrial(trial, promptTokens, predictTokens)
  const { confirmation } = found
  return {
    info: info!,
    key,
    promptTokens,
    predictTokens,
    rounds,
    defaults,
    stages: found.stages.map(({ name, trials, chosen }) => ({ name, trials: trials.map(report), chosen })),
    ...(confirmation && {
      confirmation: { defaults: report(confirmation.defaults), chosen: report(confirmation.chosen) },
    }),
    options: found.options,
    gain,
    ...(!dryRun && { path: tunedPath() }),
    seconds: (performance.now() - started) / 1000,
  }
}

/** Reads the weights once, and tells the engine how long a step takes. */
const WARM_UP = { promptTokens: 64, predictTokens: 4, streams: 1 }

function listStages({ threads }: TunedOptions, promptTokens: number): Stage[] {
  const cores = defaultThreads(Number.POSITIVE_INFINITY)
  return [
    {
      name: 'threads',
      candidates: threadCandidates(usableProcessors(), cores, threads).map((count) => ({ threads: count })),
    },
    { name: 'batch', candidates: batchCandidates(promptTokens) },
    { name: 'flash attention', candidates: FLASH_ATTENTION_CANDIDATES.map((flashAttention) => ({ flashAttention })) },
  ]
}

function gainOf({ confirmation, options }: SearchResult, defaults: TunedOptions): TunedGain {
  if (confirmation === undefined || isSame(options, defaults)) return { prefill: 1, decode: 1, total: 1 }
  const { chosen, defaults: before } = confirmation
  const gain = (part: (times: Times) => number) => median(ratiosOf(chosen.times, before.times, part))
  return {
    prefill: gain(({ prompt }) => prompt),
    decode: gain(({ decode }) => decode),
    total: gain(({ prompt, decode }) => prompt + decode),
  }
}

/** The first token comes out of the prompt's last step. */
function describeTrial({ options, times }: Trial, promptTokens: number, predictTokens: number): TuneTrial {
  return {
    options,
    prefill: summarize(times.map(({ prompt }) => (1000 * promptTokens) / prompt)),
    decode: summarize(times.map(({ decode }) => (1000 * (predictTokens - 1)) / decode)),
    totalMs: median(times.map(({ prompt, decode }) => prompt + decode)),
  }
}

function untyped(path: string): Phi2Error {
  return new Phi2Error(
    'PHI2_INVALID_GGUF',
    `${path} does not say its file type (general.file_type), by which a profile is found again. Expected a file as phi2 quantize or llama.cpp makes them.`,
  )
}
