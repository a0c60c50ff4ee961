import { join } from 'node:path'
import type { RandomModelOptions } from '../../gguf/random-model.js'
import { optionError } from '../errors.js'
import { type MadeType, madeType } from '../models/names.js'
import { checkOptions, loadSchema, type OptionSpec } from '../options.js'
import { Phi2 } from '../phi2.js'
import type { LoadOptions, ModelInfo } from '../types.js'
import { createRunner, type Workload } from './runner.js'
import { withScratchFolder } from './scratch.js'
import { type Speed, summarize } from './speed.js'
import { randomSource } from './type-source.js'

/** A number, or several that are measured one after the other. */
export type Sizes = number | readonly number[]

/** Options of {@link bench}: what is measured, and how the model is loaded for it. */
export interface BenchOptions extends Omit<LoadOptions, 'onProgress'> {
  /** Lengths of prompts whose reading is measured (`pp512`), up to 2048; 0 is none. @default 512 */
  prompt?: Sizes
  /** Counts of tokens whose writing is measured (`tg128`), each after a prompt of one token; 0 is none. @default 128 */
  predict?: Sizes
  /** How many answers are read and written at the same time, up to 64; the speed is that of all together. @default 1 */
  streams?: Sizes
  /**
   * Measure a model with random weights in the place of `model`: of this type, and of Phi-2's size or the one given. It is
   * made in the cache's folder (1.6 GB for q4_0) and removed afterwards.
   */
  random?: RandomModelOptions & { type: MadeType }
  /** How often each is measured, after a first time that does not count. @default 5 */
  repetitions?: number
  /** The share that is done, 0 to 1, and what is being measured. */
  onProgress?: (fraction: number, test: string) => void
}

export interface BenchTest {
  /** As llama-bench calls it: `pp512`, `tg128`; of several streams `tg128 ×8`. */
  name: string
  /** 0 where writing is measured. */
  promptTokens: number
  /** 0 where reading is measured. */
  predictTokens: number
  streams: number
  /** Tokens per second. */
  speed: Speed
}

export interface BenchResult {
  /** What was loaded and where it runs. */
  info: ModelInfo
  tests: BenchTest[]
}

const MAX_TOKENS = 2048
const MAX_STREAMS = loadSchema.maxSequences.max

export const benchSchema = {
  prompt: { type: 'other', default: 512, doc: 'Lengths of prompts to read (512,1024); 0 is none', cli: true },
  predict: { type: 'other', default: 128, doc: 'Counts of tokens to write; 0 is none', cli: true },
  streams: { type: 'other', default: 1, doc: 'Answers at the same time', cli: true },
  random: { type: 'object', doc: 'Type and sizes of a random model', cli: false },
  repetitions: { type: 'integer', min: 1, max: 1000, default: 5, doc: 'How often each is measured', cli: true },
} as const satisfies Record<Exclude<keyof BenchOptions, keyof LoadOptions>, OptionSpec>

/**
 * Measures how fast a model reads prompts (pp) and writes answers (tg) on this machine, under the conditions of
 * llama-bench: random tokens, an empty cache, no end before the last token. Unlike there, each token is also sampled and
 * its text made.
 *
 * @example
 * const { tests } = await bench({ model: 'q4_k_m', prompt: [128, 512], streams: [1, 8] })
 * for (const { name, speed } of tests) console.log(name, speed.mean.toFixed(1), '±', speed.deviation.toFixed(1))
 *
 * @throws {Phi2Error} the codes of `Phi2.load`; a TypeError or RangeError with `PHI2_INVALID_OPTION` for wrong options, and
 * for tests that do not fit `contextSize` or `maxSequences`; `signal.reason` when aborted.
 */
export async function bench(options: BenchOptions = {}): Promise<BenchResult> {
  const {
    prompt = benchSchema.prompt.default,
    predict = benchSchema.predict.default,
    streams = benchSchema.streams.default,
    repetitions = benchSchema.repetitions.default,
    random,
    onProgress = () => {},
    ...load
  } = checkOptions<BenchOptions>(options, { ...loadSchema, ...benchSchema })
  const tests = listTests({
    prompt: sizes('prompt', prompt, 0, MAX_TOKENS),
    predict: sizes('predict', predict, 0, MAX_TOKENS),
    streams: sizes('streams', streams, 1, MAX_STREAMS),
  })
  const loaded = { ...load, ...roomFor(tests, load) }
  if (random === undefined) return measure(loaded, { tests, repetitions, onProgress })

  if (load.model !== undefined) throw optionError('type', 'Expected a model or random but received both')
  const { type: wanted, ...sizesOfModel } = random
  const type = madeType(wanted)
  const { signal } = load
  const { make } = await randomSource(sizesOfModel, type)
  return withScratchFolder(signal, async (folder) => {
    const model = join(folder, `${type}.gguf`)
    await make(model, { signal, onProgress: (fraction) => onProgress(MAKING_SHARE * fraction, `making ${type}`) })
    return measure(
      { ...loaded, model },
      {
        tests,
        repetitions,
        onProgress: (fraction, test) => onProgress(MAKING_SHARE + (1 - MAKING_SHARE) * fraction, test),
      },
    )
  })
}

/** Of the whole, what making a random model is guessed to take. */
const MAKING_SHARE = 0.1

interface Plan {
  tests: readonly Test[]
  repetitions: number
  onProgress: NonNullable<BenchOptions['onProgress']>
}

async function measure(load: LoadOptions, { tests, repetitions, onProgress }: Plan): Promise<BenchResult> {
  await using phi2 = await Phi2.load(load)
  const { info } = phi2
  checkLengths(tests, info.sequenceSize)
  const run = createRunner(phi2, load.signal)
  const results: BenchTest[] = []
  for (const [index, test] of tests.entries()) {
    const name = nameOf(test)
    const samples: number[] = []
    for (let round = 0; round <= repetitions; round++) {
      onProgress((index + round / (1 + repetitions)) / tests.length, name)
      // The first reads weights that are not in memory yet, and tells the engine how long a step takes.
      if (round === 0) await run(warmUp(test))
      else samples.push(await measureSpeed(run, test))
    }
    results.push({ name, ...test, speed: summarize(samples) })
  }
  onProgress(1, 'done')
  return { info, tests: results }
}

type Test = Omit<BenchTest, 'name' | 'speed'>

/** @throws {RangeError} when there is nothing to measure */
function listTests(given: Record<'prompt' | 'predict' | 'streams', number[]>): Test[] {
  const tests = given.streams.flatMap((streams) => [
    ...given.prompt.map((promptTokens) => ({ promptTokens, predictTokens: 0, streams })),
    ...given.predict.map((predictTokens) => ({ promptTokens: 0, predictTokens, streams })),
  ])
  const real = tests.filter(({ promptTokens, predictTokens }) => promptTokens + predictTokens > 0)
  if (real.length > 0) return real
  throw optionError('range', 'Expected a prompt or a predict above 0: there is nothing to measure')
}

/** Reading ends with the first token; writing begins with a prompt of one, so that it takes as many steps as tokens. */
function requestOf({ promptTokens, predictTokens, streams }: Test): Workload {
  return { promptTokens: Math.max(1, promptTokens), predictTokens: Math.max(1, predictTokens), streams }
}

const WARM_UP_TOKENS = 4

function warmUp(test: Test): Workload {
  const request = requestOf(test)
  return { ...request, predictTokens: Math.min(WARM_UP_TOKENS, request.predictTokens) }
}

async function measureSpeed(run: ReturnType<typeof createRunner>, test: Test): Promise<number> {
  const { totalMs, completionTokens } = await run(requestOf(test))
  const tokens = test.promptTokens > 0 ? test.promptTokens * test.streams : completionTokens
  return (1000 * tokens) / totalMs
}

/** A context for all streams at once, unless the caller chose one. @throws {RangeError} when that is too small */
function roomFor(tests: readonly Test[], load: LoadOptions): Pick<LoadOptions, 'contextSize' | 'maxSequences'> {
  const streams = Math.max(...tests.map((test) => test.streams))
  // None takes more than Phi-2's positions.
  const cells = Math.max(
    ...tests
      .map(requestOf)
      .map(({ promptTokens, predictTokens }) => Math.min(promptTokens + predictTokens, MAX_TOKENS))
      .map((each, index) => each * tests[index]!.streams),
  )
  const { contextSize = Math.max(loadSchema.contextSize.default, cells) } = load
  const { maxSequences = Math.max(loadSchema.maxSequences.default, streams) } = load
  if (contextSize < cells) {
    throw optionError(
      'range',
      `Expected a contextSize of at least ${cells} for these tests but received ${contextSize}`,
    )
  }
  if (maxSequences < streams) {
    throw optionError('range', `Expected a maxSequences of at least ${streams} but received ${maxSequences}`)
  }
  return { contextSize, maxSequences }
}

function checkLengths(tests: readonly Test[], sequenceSize: number): void {
  const longest = Math.max(...tests.map(({ promptTokens, predictTokens }) => Math.max(promptTokens, predictTokens)))
  if (longest <= sequenceSize) return
  throw optionError('range', `Expected at most ${sequenceSize} tokens, which a sequence holds, but received ${longest}`)
}

function nameOf({ promptTokens, predictTokens, streams }: Test): string {
  const name = promptTokens > 0 ? `pp${promptTokens}` : `tg${predictTokens}`
  return streams === 1 ? name : `${name} ×${streams}`
}

/** @throws {TypeError | RangeError} `PHI2_INVALID_OPTION` */
function sizes(name: string, given: Sizes, min: number, max: number): number[] {
  const list: readonly unknown[] = Array.isArray(given) ? given : [given]
  const fits = (size: unknown) => Number.isInteger(size) && (size as number) >= min && (size as number) <= max
  if (list.length > 0 && list.every(fits)) return [...new Set(list as number[])]
  const odd = list.find((size) => !fits(size))
  throw optionError(
    typeof odd === 'number' ? 'range' : 'type',
    `Expected an integer from ${min} to ${max}, or an array of such, for ${name} but received ${list.length === 0 ? 'an empty array' : String(odd)}`,
  )
}
