import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { checkFreeSpace } from '../../gguf/free-space.js'
import { type PerplexityResult, perplexity } from '../../gguf/perplexity.js'
import type { RandomModelOptions } from '../../gguf/random-model.js'
import { findModel } from '../../gguf/reading.js'
import { type Estimate, estimateMean } from '../../gguf/statistics.js'
import { optionError } from '../errors.js'
import { type MadeType, madeType } from '../models/names.js'
import { checkOptions, loadSchema, type OptionSpec } from '../options.js'
import type { LoadOptions } from '../types.js'
import { type BenchTest, bench, benchSchema } from './bench.js'
import { fastestWithin, paretoFront } from './pareto.js'
import { withScratchFolder } from './scratch.js'
import type { Speed } from './speed.js'
import { quantizedSource, randomSource, type TypeSource } from './type-source.js'

/** Options of {@link compareTypes}. */
export interface CompareTypesOptions extends Pick<LoadOptions, 'threads' | 'gpuLayers' | 'device' | 'signal'> {
  /** As `quantize` names them, without those that need an importance matrix. @default q4_0, q4_k_s, q4_k_m, q5_k_m, q6_k and q8_0 */
  types?: readonly MadeType[]
  /**
   * A Phi-2 in F32, F16 or BF16, named as for `Phi2.load`: it is quantized to each type. Without it random weights of
   * Phi-2's size show the speed, and the speed alone.
   */
  model?: string
  /** A text for the perplexity, with `model`: in English prose 20,000 words are enough to tell types apart. */
  text?: string
  /** Chunks of 512 tokens that are read of it at most. @default all */
  chunks?: number
  /** Other sizes of the random weights than Phi-2's. */
  random?: RandomModelOptions
  /** Tokens of the prompt that is read. @default 512 */
  prompt?: number
  /** Tokens that are written. @default 128 */
  predict?: number
  /** @default 5 */
  repetitions?: number
  /** The share that is done, 0 to 1, and what is being done. */
  onProgress?: (fraction: number, step: string) => void
}

export interface TypeResult {
  type: MadeType
  /** Size of the file. */
  bytes: number
  bitsPerWeight: number
  /** Tokens per second that are read. */
  prefill: Speed
  /** Tokens per second that are written. */
  decode: Speed
  /** Only with a text. */
  quality?: TypeQuality
  /** No other type is faster and loses less. Without a text, bits per weight stand for what is lost. */
  best: boolean
}

export interface TypeQuality {
  perplexity: number
  /** Standard error of it. */
  error: number
  /** Perplexity divided by that of the unquantized model, chunk by chunk: much more exact than the two alone. */
  ratio: Estimate
}

export interface TypesComparison {
  /** In the order given. */
  types: TypeResult[]
  /** The unquantized model, where there was one. */
  model?: string
  /** Its perplexity, and the standard error of that. */
  reference?: { perplexity: number; error: number }
  /** The fastest writer. */
  fastest: MadeType
  /** The fastest writer whose perplexity is at most 2 % above the unquantized model's; absent without a text. */
  recommended?: MadeType
  promptTokens: number
  predictTokens: number
  threads: number
  device: string
  seconds: number
}

const DEFAULT_TYPES = ['q4_0', 'q4_k_s', 'q4_k_m', 'q5_k_m', 'q6_k', 'q8_0'] as const satisfies MadeType[]

/** What a model may lose and still be recommended. */
const SMALL_LOSS = 1.02

const schema = {
  types: { type: 'other', doc: 'Types', cli: false },
  model: loadSchema.model,
  text: { type: 'string', doc: 'The text', cli: false },
  chunks: { type: 'integer', min: 1, max: 1 << 30, doc: 'Chunks of 512 tokens read at most', cli: true },
  random: { type: 'object', doc: 'Sizes of the random model', cli: false },
  prompt: { type: 'integer', min: 1, max: 2048, default: 512, doc: 'Tokens of the prompt', cli: true },
  predict: { type: 'integer', min: 1, max: 2048, default: 128, doc: 'Tokens of the answer', cli: true },
  repetitions: benchSchema.repetitions,
  threads: loadSchema.threads,
  gpuLayers: loadSchema.gpuLayers,
  device: loadSchema.device,
  signal: loadSchema.signal,
  onProgress: loadSchema.onProgress,
} as const satisfies Record<keyof CompareTypesOptions, OptionSpec>

/**
 * Measures which quantization is fastest on this machine, and what each loses: files of the types are made in the cache's folder,
 * one at a time, measured and removed.
 *
 * @example
 * const { types } = await compareTypes({ types: ['q4_0', 'q4_k_m'] })              // speed, with random weights
 * const { recommended } = await compareTypes({ model: 'phi-2-f16.gguf', text })    // and quality
 *
 * @throws {Phi2Error} `PHI2_NO_SPACE` for what does not fit on the disk; those of `quantize`, `synth`, `perplexity` and
 * `Phi2.load`. A TypeError or RangeError with `PHI2_INVALID_OPTION` for wrong options, a text without a model among them;
 * `signal.reason` when aborted.
 */
export async function compareTypes(options: CompareTypesOptions = {}): Promise<TypesComparison> {
  const given = checkOptions<CompareTypesOptions>(options, schema)
  const { signal, text } = given
  const types = checkTypes(given)
  signal?.throwIfAborted()
  const started = performance.now()
  const from = given.model === undefined ? undefined : (await findModel(given.model, signal)).path
  const sources = await Promise.all(
    types.map((type) => (from === undefined ? randomSource(given.random ?? {}, type) : quantizedSource(from, type))),
  )
  return withScratchFolder(signal, async (folder) => {
    await checkFreeSpace(folder, Math.max(...sources.map(({ room }) => room)), 'Making files of these types')
    const steps = new Steps(types.length + (text === undefined ? 0 : 1), given.onProgress)
    const reference =
      text === undefined ? undefined : await score(from!, given, steps.part('perplexity of the model', 0, 1))
    const results: MeasuredType[] = []
    for (const [index, type] of types.entries()) {
      if (index > 0 || reference) steps.next()
      results.push(await measureType(type, sources[index]!, reference, folder, given, steps))
    }
    given.onProgress?.(1, 'done')
    const [{ threads, device }] = results as [MeasuredType]
    return {
      ...judge(results),
      ...(from !== undefined && { model: from }),
      ...(reference && { reference: { perplexity: reference.perplexity, error: reference.error } }),
      promptTokens: given.prompt ?? schema.prompt.default,
      predictTokens: given.predict ?? schema.predict.default,
      threads,
      device,
      seconds: (performance.now() - started) / 1000,
    }
  })
}

type MeasuredType = Omit<TypeResult, 'best'> & Pick<TypesComparison, 'threads' | 'device'>

/** @throws {TypeError | RangeError} `PHI2_INVALID_OPTION` */
function checkTypes({ types = DEFAULT_TYPES, model, text, random }: CompareTypesOptions): MadeType[] {
  if (!Array.isArray(types) || types.length === 0) throw optionError('type', 'Expected an array of types for types')
  if (text !== undefined && model === undefined) {
    throw optionError('type', 'Expected a model in F32, F16 or BF16 beside the text: random weights predict nothing')
  }
  if (random !== undefined && model !== undefined) {
    throw optionError('type', 'Expected a model or the sizes of a random one but received both')
  }
  return [...new Set(types.map(madeType))]
}

async function measureType(
  type: MadeType,
  source: TypeSource,
  reference: PerplexityResult | undefined,
  folder: string,
  options: CompareTypesOptions,
  steps: Steps,
): Promise<MeasuredType> {
  const { prompt = schema.prompt.default, predict = schema.predict.default, repetitions, signal } = options
  const path = join(folder, `${type}.gguf`)
  const bytes = await source.make(path, { signal, onProgress: steps.part(`making ${type}`, 0, 0.3) })
  const { info, tests } = await bench({
    ...loadOf(options),
    model: path,
    prompt,
    predict,
    ...(repetitions !== undefined && { repetitions }),
    ...(signal && { signal }),
    // One type may have a profile and another none.
    tuned: false,
    onProgress: steps.part(`speed of ${type}`, 0.3, reference ? 0.6 : 1),
  })
  const scored = reference && (await score(path, options, steps.part(`perplexity of ${type}`, 0.6, 1)))
  await rm(path)
  const [prefill, decode] = tests as [BenchTest, BenchTest]
  return {
    type,
    bytes,
    bitsPerWeight: (8 * info.size) / info.parameters,
    prefill: prefill.speed,
    decode: decode.speed,
    ...(reference && scored && { quality: qualityOf(scored, reference) }),
    threads: info.threads,
    device: info.device,
  }
}

function score(
  model: string,
  { text, chunks, signal, ...options }: CompareTypesOptions,
  onProgress: (fraction: number) => void,
): Promise<PerplexityResult> {
  return perplexity({ ...loadOf(options), model, text: text!, chunks, signal, onProgress })
}

function loadOf({
  device,
  gpuLayers,
  threads,
}: CompareTypesOptions): Pick<LoadOptions, 'threads' | 'gpuLayers' | 'device'> {
  return {
    ...(threads !== undefined && { threads }),
    ...(gpuLayers !== undefined && { gpuLayers }),
    ...(device !== undefined && { device }),
  }
}

/** Text that is hard is hard for both: chunk by chunk, only what the type changed is left. */
function qualityOf(own: PerplexityResult, reference: PerplexityResult): TypeQuality {
  const { value, error } = estimateMean(
    own.perChunk.map((chunk, index) => Math.log(chunk / reference.perChunk[index]!)),
  )
  const ratio = Math.exp(value)
  return { perplexity: own.perplexity, error: own.error, ratio: { value: ratio, error: ratio * error } }
}

function judge(results: readonly MeasuredType[]): Pick<TypesComparison, 'types' | 'fastest' | 'recommended'> {
  const tradeoffs = results.map(({ decode, quality, bitsPerWeight }) => ({
    speed: decode.median,
    loss: quality?.ratio.value ?? -bitsPerWeight,
  }))
  const front = paretoFront(tradeoffs)
  const fastest = fastestWithin(tradeoffs, Number.POSITIVE_INFINITY)!
  const measured = results.every(({ quality }) => quality !== undefined)
  const recommended = measured ? fastestWithin(tradeoffs, SMALL_LOSS) : undefined
  return {
    types: results.map(({ threads: _, device: __, ...result }, index) => ({ ...result, best: front[index]! })),
    fastest: results[fastest]!.type,
    ...(recommended !== undefined && { recommended: results[recommended]!.type }),
  }
}

/** Puts the progress of parts together: of each type, and of the steps within one. */
class Steps {
  #index = 0

  constructor(
    private readonly count: number,
    private readonly onProgress: CompareTypesOptions['onProgress'],
  ) {}

  next(): void {
    this.#index++
  }

  part(step: string, from: number, to: number): (fraction: number) => void {
    return (fraction) => this.onProgress?.((this.#index + from + fraction * (to - from)) / this.count, step)
  }
}
