import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Dispatcher } from './dispatcher.js'
import { evaluate } from './evaluate.js'
import type { NativeEngine } from './native.js'
import { packageRoot } from './package-root.js'
import { tokenizeText } from './tokenize.js'

export interface SelfCheck {
  ok: boolean
  /** Whether stored values were there to compare with: only for the embedded model. */
  reference: boolean
  /** Greatest difference between expected and found, in nats per token. */
  maxDifference: number
  tolerance: number
  /** Log-likelihood of each prompt, in nats per token. */
  prompts: { name: string; expected: number; found: number }[]
}

interface StoredPrompts {
  tolerance: number
  prompts: { name: string; text: string; tokens: number; logLikelihood: number }[]
}

/**
 * Scores known texts and compares: wrong instructions, damaged files and broken devices show here before they show as
 * strange answers. The stored values were computed in float32 by an independent implementation (`gguf/tiny/train`).
 */
export async function runSelfCheck(
  engine: NativeEngine,
  dispatcher: Dispatcher,
  embedded: boolean,
): Promise<SelfCheck> {
  const stored = JSON.parse(
    await readFile(join(packageRoot(), 'gguf', 'tiny', 'self-check.json'), 'utf8'),
  ) as StoredPrompts
  const prompts: SelfCheck['prompts'] = []
  for (const { name, text, tokens, logLikelihood } of stored.prompts) {
    const ids = await tokenizeText(engine, text, true)
    const { logprobs } = await evaluate(engine, dispatcher, ids, { logprobs: true })
    const found = logprobs.reduce((sum, logprob) => sum + logprob, 0) / Math.max(1, logprobs.length)
    // Another model has other likelihoods: there only a number that is none is wrong.
    prompts.push({ name, expected: embedded ? logLikelihood / (tokens - 1) : found, found })
  }
  const differences = prompts.map(({ expected, found }) =>
    Number.isFinite(found) ? Math.abs(expected - found) : Number.POSITIVE_INFINITY,
  )
  const maxDifference = Math.max(...differences)
  return {
    ok: maxDifference <= stored.tolerance,
    reference: embedded,
    maxDifference,
    tolerance: stored.tolerance,
    prompts,
  }
}
