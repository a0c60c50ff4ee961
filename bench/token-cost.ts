/**
 * What a token costs the JavaScript thread, in short and in long answers: processor time, and memory that stays while the
 * answer is kept. With the embedded model, whose tokens come one by one: each wakes the thread for itself. Linux, or
 * Node 23.9 and later.
 *
 * Run: node --expose-gc --import tsx bench/token-cost.ts [ROUNDS]
 */
import { Phi2 } from '../src/phi2.js'
import type { Answer, GenerateOptions } from '../src/types.js'
import { threadCpuMs } from './contenders/thread-time.js'

const LENGTHS = [100, 1500]
const TOKENS_PER_ROUND = 3000
const END_OF_TEXT = 50256

const uses = {
  streamed: async (phi2: Phi2, options: GenerateOptions) => {
    const generation = phi2.complete('Once upon a time', options)
    for await (const _ of generation);
    return generation
  },
  awaited: async (phi2: Phi2, options: GenerateOptions) => phi2.complete('Once upon a time', options),
}

const kinds: Record<string, GenerateOptions> = {
  text: {},
  'with 5 log-probabilities': { logprobs: true, topLogprobs: 5 },
}

type Use = (phi2: Phi2, options: GenerateOptions) => Promise<Answer>

async function answers(phi2: Phi2, use: Use, options: GenerateOptions, count: number): Promise<Answer[]> {
  const all: Answer[] = []
  for (let i = 0; i < count; i++) {
    const answer = await use(phi2, options)
    if (answer.tokens.length !== options.maxTokens) throw new Error(`An answer ended after ${answer.tokens.length}.`)
    all.push(answer)
  }
  return all
}

/** Bytes that the JavaScript heap and its buffers hold when nothing is left to collect. */
function usedBytes(): number {
  if (!gc) throw new Error('Run Node with --expose-gc.')
  gc()
  gc()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** Microseconds, ascending. */
async function timesPerToken(phi2: Phi2, use: Use, options: GenerateOptions, rounds: number): Promise<number[]> {
  const times: number[] = []
  for (let round = 0; round < rounds; round++) {
    const before = threadCpuMs()
    await answers(phi2, use, options, TOKENS_PER_ROUND / options.maxTokens!)
    times.push(((threadCpuMs() - before) * 1000) / TOKENS_PER_ROUND)
  }
  return times.sort((a, b) => a - b)
}

async function bytesPerToken(phi2: Phi2, use: Use, options: GenerateOptions): Promise<number> {
  const before = usedBytes()
  const kept = await answers(phi2, use, options, TOKENS_PER_ROUND / options.maxTokens!)
  return (usedBytes() - before) / (kept.length * options.maxTokens!)
}

const rounds = Number(process.argv[2] ?? 5)
const phi2 = await Phi2.load({ model: 'tiny' })
try {
  for (const [kind, more] of Object.entries(kinds)) {
    for (const [name, use] of Object.entries(uses)) {
      for (const maxTokens of LENGTHS) {
        const options = { ...more, maxTokens, logitBias: { [END_OF_TEXT]: Number.NEGATIVE_INFINITY } }
        await answers(phi2, use, options, 1) // compiles
        const bytes = await bytesPerToken(phi2, use, options)
        const times = await timesPerToken(phi2, use, options, rounds)
        const [median, least] = [times[times.length >> 1]!, times[0]!].map((time) => time.toFixed(1))
        const what = `${name} ${kind}, ${maxTokens} tokens:`.padEnd(50)
        console.log(`${what} ${median} µs (least ${least}), ${bytes.toFixed(0)} bytes a token`)
      }
    }
  }
} finally {
  await phi2.close()
}
