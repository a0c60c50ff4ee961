import { drive } from './drive.js'
import {
  type CompletionOptions,
  type Context,
  importPeer,
  type Model,
  type Sequence,
  type TokenBias,
} from './node-llama-cpp-api.js'
import type { Completed, CompleteOptions, Subject } from './subject.js'
import { WORDS } from './words.js'

const peer = await importPeer(process.argv[2]!)

let model: Model
let context: Context
let sequences: Sequence[]
let completions: InstanceType<typeof peer.LlamaCompletion>[]
let session: InstanceType<typeof peer.LlamaChatSession>
let towardsWords: TokenBias

// As its guide says: one context with as many sequences as there are streams, which its scheduler puts into batches.
// Left at their defaults: flash attention (auto), batch size (512), scheduler, KV type. The penalty that it applies by
// itself is off, as it is in the others.
const subject: Subject = {
  async load({ model: modelPath, contextSize, gpu = false, streams, threads }) {
    const limit = threads === undefined ? {} : { maxThreads: threads }
    const llama = await peer.getLlama({
      gpu: gpu && 'cuda',
      build: 'never',
      skipDownload: true,
      logLevel: 'error',
      ...limit,
    })
    model = await llama.loadModel({ modelPath, ...(gpu ? { gpuLayers: 'max' } : {}) })
    context = await model.createContext({
      sequences: streams,
      contextSize,
      ...(threads === undefined ? {} : { threads }),
    })
    sequences = Array.from({ length: streams }, () => context.getSequence())
    completions = sequences.map((contextSequence) => new peer.LlamaCompletion({ contextSequence }))
    const words = WORDS.map((word) => model.tokenize(` ${word}`)[0]!)
    towardsWords = peer.TokenBias.for(model).set(words, { logit: 1000 })
  },

  complete: (stream, prompt, options) =>
    metered(sequences[stream]!, () => completions[stream]!.generateCompletion(prompt, completionOptions(options))),

  startChat() {
    session = new peer.LlamaChatSession({ contextSequence: sequences[0]! })
  },

  say: (message, options) => metered(sequences[0]!, () => session.prompt(message, completionOptions(options))),
  countTokens: async (text) => model.tokenize(text).length,
  evaluatedTokens: () =>
    sequences.reduce((sum, { tokenMeter }) => sum + tokenMeter.usedInputTokens + tokenMeter.usedOutputTokens, 0),
  idle: () => undefined,
}

// Its meter counts a token as output when it is what the next one is sampled from.
async function metered({ tokenMeter }: Sequence, answer: () => Promise<string>): Promise<Completed> {
  const before = tokenMeter.usedOutputTokens
  const text = await answer()
  return { text, sampled: tokenMeter.usedOutputTokens - before }
}

function completionOptions({ maxTokens, plainWords, stop, signal, onText }: CompleteOptions): CompletionOptions {
  return {
    maxTokens,
    repeatPenalty: false,
    ...(plainWords ? { tokenBias: towardsWords } : {}),
    ...(stop ? { customStopTriggers: stop } : {}),
    ...(signal ? { signal } : {}),
    ...(onText ? { onTextChunk: onText } : {}),
  }
}

drive(subject)
