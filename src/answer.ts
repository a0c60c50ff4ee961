import type { Chunk } from './dispatcher.js'
import type { NativeEndEvent, NativeEngine } from './native.js'
import type { ResolvedGenerate } from './options.js'
import { endOfText, ruleName } from './stops.js'
import type { Answer, OneAnswer, TokenAlternative, TokenLogprob, Usage } from './types.js'

// Values of NativeEndEvent.rule that are no index.
const endOfTextRule = -2

/**
 * Several answers to one prompt as one: the first, with all of them in `choices` and what they cost together in `usage`.
 * The prompt was one, and counts once.
 */
export function joinChoices<T extends Answer>(choices: readonly T[]): T {
  const [first, ...others] = choices as [T, ...T[]]
  if (others.length === 0) return first
  const sum = (name: keyof Usage) => choices.reduce((total, { usage }) => total + usage[name], 0)
  const completionTokens = sum('completionTokens')
  const usage: Usage = {
    ...first.usage,
    completionTokens,
    totalTokens: first.usage.promptTokens + completionTokens,
    acceptedPredictionTokens: sum('acceptedPredictionTokens'),
    rejectedPredictionTokens: sum('rejectedPredictionTokens'),
  }
  return { ...first, usage, choices: [...choices] }
}

/** Gathers the chunks of one answer into an {@link Answer}. */
export class AnswerBuilder {
  readonly #engine: NativeEngine
  readonly #options: ResolvedGenerate
  readonly #seed: number
  readonly #tokens: number[] = []
  readonly #logprobs: TokenLogprob[] = []
  readonly #texts = new Map<number, string>()

  constructor(engine: NativeEngine, options: ResolvedGenerate, seed: number) {
    this.#engine = engine
    this.#options = options
    this.#seed = seed
  }

  add({ tokens, logprobs, topTokens, topLogprobs }: Chunk): void {
    for (const token of tokens) this.#tokens.push(token)
    if (!logprobs || !topTokens || !topLogprobs) return
    const alternatives = this.#options.n_probs
    for (const [i, token] of tokens.entries()) {
      const top: TokenAlternative[] = []
      for (let k = i * alternatives; k < (i + 1) * alternatives; k++) {
        top.push({ token: topTokens[k]!, text: this.#textOf(topTokens[k]!), logprob: topLogprobs[k]! })
      }
      this.#logprobs.push({ token, text: this.#textOf(token), logprob: logprobs[i]!, top })
    }
  }

  build(text: string, event: NativeEndEvent): OneAnswer {
    const stop = stopName(event.rule, this.#options)
    return {
      text,
      finishReason: event.reason === 'length' ? 'length' : 'stop',
      ...(stop === undefined ? {} : { stop }),
      usage: {
        promptTokens: event.promptTokens,
        completionTokens: event.completionTokens,
        totalTokens: event.promptTokens + event.completionTokens,
        cachedTokens: event.cachedTokens,
        acceptedPredictionTokens: event.acceptedPredictionTokens,
        rejectedPredictionTokens: event.rejectedPredictionTokens,
      },
      timings: {
        queueMs: event.queueMs,
        promptMs: event.promptMs,
        decodeMs: event.decodeMs,
        tokensPerSecond: event.decodeMs > 0 ? ((event.completionTokens - 1) * 1000) / event.decodeMs : 0,
      },
      seed: this.#seed,
      tokens: this.#tokens,
      ...(this.#options.n_probs < 0 ? {} : { logprobs: this.#logprobs }),
    }
  }

  /** The alternatives are much the same tokens again and again: one text for all of them. */
  #textOf(token: number): string {
    let text = this.#texts.get(token)
    if (text === undefined) {
      text = this.#engine.tokenText(token)
      this.#texts.set(token, text)
    }
    return text
  }
}

function stopName(rule: number, options: ResolvedGenerate): string | undefined {
  if (rule === endOfTextRule) return endOfText
  const fired = options.rules[rule]
  return fired && ruleName(fired)
}
