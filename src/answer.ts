import type { NativeChunkEvent, NativeEndEvent, NativeEngine } from './native.js'
import type { ResolvedGenerate } from './options.js'
import { endOfText, ruleName } from './stops.js'
import type { Answer, TokenAlternative, TokenLogprob } from './types.js'

// Values of NativeEndEvent.rule that are no index.
const endOfTextRule = -2

/** Gathers the chunks of one request into an {@link Answer}. */
export class AnswerBuilder {
  readonly #engine: NativeEngine
  readonly #options: ResolvedGenerate
  readonly #tokens: number[] = []
  readonly #logprobs: TokenLogprob[] = []

  constructor(engine: NativeEngine, options: ResolvedGenerate) {
    this.#engine = engine
    this.#options = options
  }

  add(event: NativeChunkEvent): void {
    for (const token of event.tokens) this.#tokens.push(token)
    if (!event.logprobs || this.#options.n_probs < 0) return
    const alternatives = this.#options.n_probs
    event.tokens.forEach((token, i) => {
      const top: TokenAlternative[] = []
      for (let k = i * alternatives; k < (i + 1) * alternatives; k++) {
        top.push(this.#alternative(event.topTokens?.[k] ?? 0, event.topLogprobs?.[k] ?? 0))
      }
      this.#logprobs.push({ ...this.#alternative(token, event.logprobs?.[i] ?? 0), top })
    })
  }

  build(text: string, event: NativeEndEvent): Answer {
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
      },
      timings: {
        queueMs: event.queueMs,
        promptMs: event.promptMs,
        decodeMs: event.decodeMs,
        tokensPerSecond: event.decodeMs > 0 ? ((event.completionTokens - 1) * 1000) / event.decodeMs : 0,
      },
      seed: this.#options.seed,
      tokens: this.#tokens,
      ...(this.#options.n_probs < 0 ? {} : { logprobs: this.#logprobs }),
    }
  }

  #alternative(token: number, logprob: number): TokenAlternative {
    return { token, text: pieceText(this.#engine, token), logprob }
  }
}

function stopName(rule: number, options: ResolvedGenerate): string | undefined {
  if (rule === endOfTextRule) return endOfText
  const fired = options.rules[rule]
  return fired && ruleName(fired)
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

/** The text of one token; bytes that are only part of a character show as U+FFFD. */
export function pieceText(engine: NativeEngine, token: number): string {
  return decoder.decode(engine.piece(token))
}
