import { type Answer, type Chat, type GenerateOptions, Phi2 } from '../../src/index.js'
import { drive } from './drive.js'
import type { Completed, CompleteOptions, Subject } from './subject.js'
import { WORDS } from './words.js'

const END_OF_TEXT = 50256
const MAX_BIAS = 1000

let phi2: Phi2
let chat: Chat
const towardsWords: Record<number, number> = {}

const subject: Subject = {
  async load({ model, contextSize, gpu = false, streams, shared = false, threads }) {
    phi2 = await Phi2.load({
      model,
      contextSize: shared ? contextSize : contextSize * streams,
      maxSequences: streams,
      // A stored profile of this machine would set options that the others do not have.
      tuned: false,
      ...(gpu ? { gpuLayers: -1 } : {}),
      ...(threads === undefined ? {} : { threads }),
    })
    for (const word of WORDS) towardsWords[(await phi2.tokenize(` ${word}`))[0]!] = MAX_BIAS
  },

  async complete(_stream, prompt, options) {
    return follow(phi2.complete(prompt, generateOptions(options)), options)
  },

  startChat() {
    chat = phi2.chat()
  },

  async say(message, options) {
    return follow(chat.say(message, { temperature: 0, ...generateOptions(options) }), options)
  },

  countTokens: (text) => phi2.countTokens(text),
  evaluatedTokens: () => phi2.stats.decodedTokens,
  idle: () => phi2.stats.active === 0 && phi2.stats.queued === 0,
}

async function follow(
  generation: AsyncIterable<string> & PromiseLike<Answer>,
  { onText }: CompleteOptions,
): Promise<Completed> {
  if (onText) for await (const text of generation) onText(text)
  const { text, usage } = await generation
  return { text, sampled: usage.completionTokens }
}

function generateOptions({ maxTokens, plainWords, stop, signal }: CompleteOptions): GenerateOptions {
  return {
    maxTokens,
    logitBias: plainWords ? towardsWords : { [END_OF_TEXT]: Number.NEGATIVE_INFINITY },
    ...(stop ? { stop } : {}),
    ...(signal ? { signal } : {}),
  }
}

drive(subject)
