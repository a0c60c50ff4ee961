/**
 * Runs the four execution modes of the model card on a full-size Phi-2 with random weights and on phi-2-tiny: 1,500 tokens
 * are read, all numbers must be finite, and they are compared with those of F32 on the CPU. In a rehearsal the CPU stands
 * in for the GPU.
 *
 * Usage: modes [NAME]   NAME of the part of the report, by default modes; with another one only phi-2-tiny is run
 */

import { evaluate } from '../../src/evaluate.js'
import { Phi2 } from '../../src/phi2.js'
import { type FixedMode, modes } from '../../src/placement/modes.js'
import { runSelfCheck } from '../../src/self-check.js'
import { wordsText } from '../contenders/words.js'
import { modelPath, rehearsal, say, writePart } from './setup.js'

/** Allowed mean difference of log-probabilities from those of F32 on the CPU, in nats per token. */
const TOLERANCE = { f16: 0.01, f32: 0.001 }
const TOKENS = 1500
/** Positions at the end whose first choice is compared. */
const COMPARED = 32
const QUESTIONS = [
  'What is the capital of France?',
  'Write a detailed analogy between mathematics and a lighthouse.',
  'What is a prime number?',
]

export interface ModeResult {
  mode: FixedMode
  model: string
  device: string
  gpuLayers: number
  tokens: number
  finite: boolean
  /** Nats per token, from F32 on the CPU. */
  meanDifference: number
  maxDifference: number
  tolerance: number
  /** Share of the compared positions with the same likeliest token. */
  sameTop: number
  loadSeconds: number
  readSeconds: number
  /** Of phi-2-tiny: greatest difference from the stored values, and whether the answers are those of the CPU. */
  selfCheck?: { ok: boolean; maxDifference: number }
  sameAnswers?: boolean
  ok: boolean
}

interface Numbers {
  logprobs: Float32Array
  tops: number[]
  answers: string[]
}

const part = process.argv[2] ?? 'modes'
const results: ModeResult[] = []
for (const model of part === 'modes' ? ['random', 'tiny'] : ['tiny']) {
  // The CPU first: the others are compared with it.
  let reference: Numbers | undefined
  for (const mode of ['fp32-cpu', 'fp32-cuda', 'fp16-cuda', 'fp16-flash-cuda'] as const) {
    const { numbers, result } = await measure(mode, model, reference)
    reference ??= numbers
    results.push(result)
    say(`${model}, ${mode} on ${result.device}: ${result.ok ? 'ok' : 'FAILED'}, ${JSON.stringify(result)}`)
  }
}
writePart(part, results)
process.exitCode = results.every(({ ok }) => ok) ? 0 : 1

async function measure(
  mode: FixedMode,
  model: string,
  reference: Numbers | undefined,
): Promise<{ numbers: Numbers; result: ModeResult }> {
  const { flashAttention, kvType, weights } = modes[mode]
  const path = modelPath(`${model}-${weights}`)
  const loading = performance.now()
  await using phi2 = await Phi2.load({
    model: path,
    tuned: false,
    ...(rehearsal ? { flashAttention, gpuLayers: 0, kvType } : { mode }),
  })
  const loadSeconds = (performance.now() - loading) / 1000
  const { dispatcher, engine } = phi2.internals
  const tokens = Int32Array.from(await phi2.tokenize(wordsText(TOKENS, 7)))
  const logitPositions = Array.from({ length: COMPARED }, (_, i) => tokens.length - COMPARED + i)
  const reading = performance.now()
  const { logits, logprobs } = await evaluate(engine, dispatcher, tokens, { logprobs: true, logitPositions })
  const readSeconds = (performance.now() - reading) / 1000
  const finite = [logits, logprobs].every((values) => values.length > 0 && values.every(Number.isFinite))
  const isTiny = model === 'tiny'
  const answers: string[] = []
  for (const question of isTiny ? QUESTIONS : []) answers.push((await phi2.ask(question)).text)
  const numbers = { logprobs, tops: likeliest(logits, phi2.info.vocabularySize), answers }

  const differences = (reference ?? numbers).logprobs.map((value, i) => Math.abs(value - logprobs[i]!))
  const meanDifference = differences.reduce((sum, value) => sum + value, 0) / differences.length
  const tops = (reference ?? numbers).tops
  const check = isTiny ? await runSelfCheck(engine, dispatcher, true) : undefined
  const sameAnswers = isTiny ? (reference ?? numbers).answers.every((text, i) => text === answers[i]) : undefined
  const tolerance = TOLERANCE[weights]
  const result = {
    mode,
    model,
    device: phi2.info.device,
    gpuLayers: phi2.info.gpuLayers,
    tokens: tokens.length,
    finite,
    meanDifference,
    maxDifference: differences.reduce((most, value) => Math.max(most, value), 0),
    tolerance,
    sameTop: tops.filter((token, i) => token === numbers.tops[i]).length / tops.length,
    loadSeconds,
    readSeconds,
    ...(check && { selfCheck: { ok: check.ok, maxDifference: check.maxDifference } }),
    ...(sameAnswers === undefined ? {} : { sameAnswers }),
    ok: finite && meanDifference <= tolerance && check?.ok !== false && sameAnswers !== false,
  }
  return { numbers, result }
}

/** The likeliest token of each row. */
function likeliest(logits: Float32Array, vocabulary: number): number[] {
  return Array.from({ length: logits.length / vocabulary }, (_, row) => {
    const values = logits.subarray(row * vocabulary, (row + 1) * vocabulary)
    return values.indexOf(values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY))
  })
}
