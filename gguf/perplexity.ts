import type { NativePerplexity } from '../src/native.js'
import type { OptionSpec } from '../src/options.js'
import { findModel, readText } from './reading.js'
import { type Reading, type ReadingOptions, readingSchema } from './reading-options.js'
import { type Estimate, estimateMean, mean, meanCovariance, type Spread, spread } from './statistics.js'

export interface PerplexityOptions extends ReadingOptions {
  /**
   * A model to compare with, named as `model` is: the F16 file that a quantized one was made from. Both are held in
   * memory.
   */
  against?: string | undefined
}

export interface PerplexityResult extends Reading {
  /** How surprised the model is: as if each token came from so many equally likely ones. Less is better. */
  perplexity: number
  /** Standard error of {@link perplexity}. It takes tokens as independent, so it is rather too small. */
  error: number
  /** 95 % confidence interval. */
  interval95: [low: number, high: number]
  /** Mean of -log p of the tokens that came, in nats: the logarithm of {@link perplexity}. */
  meanNll: number
  /** Tokens scored: those of the second half of each chunk, where the model has something to go by. */
  tokens: number
  /** Perplexity of each chunk. */
  perChunk: number[]
  /** Only with `against`. */
  comparison?: PerplexityComparison
}

/** How a model's predictions differ from those of a reference, token by token. Errors are standard errors. */
export interface PerplexityComparison {
  /** The reference's file. */
  against: string
  /** Perplexity of the reference. */
  reference: Estimate
  /** Perplexity of the model divided by that of the reference. Much more exact than the two alone: their errors go together. */
  ratio: Estimate
  /** Natural logarithm of {@link ratio}. */
  logRatio: Estimate
  /** Perplexity of the model less that of the reference. */
  difference: Estimate
  /** Between the log-likelihoods of both, -1 to 1. */
  correlation: number
  /** Kullback-Leibler divergence from the reference to the model, in nats per token: 0 for equal predictions. */
  kld: Estimate & Spread
  /** Change of the probability of the token that came, -1 to 1. */
  deltaP: Estimate & Spread
  /** Root of the mean square of that change. */
  rmsDeltaP: Estimate
  /** Share of the tokens where both hold the same one likeliest, 0 to 1. */
  sameTop: Estimate
}

const schema = {
  ...readingSchema,
  against: { type: 'string', doc: 'Model to compare with', cli: true },
} as const satisfies Record<keyof PerplexityOptions, OptionSpec>

/**
 * Measures how well a model predicts a text, off the main thread; with `against` also how far its predictions are from
 * those of another file of the same model. Chunks, scored tokens and figures are those of llama.cpp's perplexity tool.
 *
 * @example
 * const text = await readFile('wiki.test.raw', 'utf8')
 * const result = await perplexity({ model: 'phi-2.Q4_K_M.gguf', text, contextSize: 2048 })
 * console.log(`${result.perplexity} ± ${result.error}`)
 *
 * @throws {Phi2Error} `PHI2_TEXT_TOO_SHORT` for less than two chunks, `PHI2_VOCABULARY_MISMATCH` when `against` splits the
 * text into other tokens, `PHI2_DECODE_FAILED` (also for numbers that are not finite), and the codes of `Phi2.load`. A
 * TypeError or RangeError with `PHI2_INVALID_OPTION` for wrong options; `signal.reason` when aborted.
 */
export async function perplexity(options: PerplexityOptions): Promise<PerplexityResult> {
  let base: string | undefined
  const { found, reading } = await readText(options, schema, async (addon, native) => {
    const { against, signal } = options
    if (against !== undefined) base = (await findModel(against, signal)).path
    return addon.perplexity({ ...native, path_base: base })
  })
  const nll = estimateMean(found.nll)
  const own = perplexityOf(nll)
  return {
    ...reading,
    perplexity: own.value,
    error: own.error,
    // of the logarithm, so that no limit is below 0
    interval95: [Math.exp(nll.value - Z95 * nll.error), Math.exp(nll.value + Z95 * nll.error)],
    meanNll: nll.value,
    tokens: found.nll.length,
    perChunk: perChunk(found),
    ...(base !== undefined && { comparison: compare(found, base) }),
  }
}

const Z95 = 1.96

function perplexityOf({ value, error }: Estimate): Estimate {
  return { value: Math.exp(value), error: Math.exp(value) * error }
}

function perChunk({ chunks, nll }: NativePerplexity): number[] {
  const scored = nll.length / chunks
  return Array.from({ length: chunks }, (_, chunk) =>
    Math.exp(mean(nll.subarray(chunk * scored, (chunk + 1) * scored))),
  )
}

function compare({ nll, nllBase, kld, pDiff, sameTop }: NativePerplexity, against: string): PerplexityComparison {
  const own = estimateMean(nll)
  const base = estimateMean(nllBase)
  const covariance = meanCovariance(nll, nllBase)
  const ownPerplexity = perplexityOf(own)
  const reference = perplexityOf(base)
  const logRatio = { value: own.value - base.value, error: differenceError(own.error, base.error, covariance) }
  const meanSquare = estimateMean(pDiff.map((difference) => difference ** 2))
  const rms = Math.sqrt(meanSquare.value)
  const same = mean(sameTop)
  return {
    against,
    reference,
    ratio: perplexityOf(logRatio),
    logRatio,
    difference: {
      value: ownPerplexity.value - reference.value,
      error: differenceError(ownPerplexity.error, reference.error, covariance * ownPerplexity.value * reference.value),
    },
    correlation: own.error * base.error === 0 ? 1 : covariance / (own.error * base.error),
    kld: { ...estimateMean(kld), ...spread(kld) },
    deltaP: { ...estimateMean(pDiff), ...spread(pDiff) },
    rmsDeltaP: { value: rms, error: rms === 0 ? 0 : meanSquare.error / (2 * rms) },
    sameTop: { value: same, error: Math.sqrt((same * (1 - same)) / (sameTop.length - 1)) },
  }
}

/** Rounding may take the sum just below 0 where both are equal. */
function differenceError(a: number, b: number, covariance: number): number {
  return Math.sqrt(Math.max(0, a ** 2 + b ** 2 - 2 * covariance))
}
