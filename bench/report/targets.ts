import { TASKS, type Task } from '../speculate/tasks.js'
import { type Contender, type Measurement, ratio, type Summary, summarize } from './results.js'

/** The median of one contender's measurement. */
interface Figure {
  id: string
  contender: Contender
}

/** What the package promises of its speed, as a ratio of two figures of one run, or as a figure. */
interface Target {
  text: string
  of: Figure
  to?: Figure
  atLeast?: number
  atMost?: number | ((measurements: readonly Measurement[]) => number)
  /** A ratio that says how much could be had. */
  bound?: { text: string; of: Figure; to: Figure }
}

export interface Verdict {
  text: string
  model: string
  value: Summary
  sign: '≥' | '≤'
  limit: number
  met: boolean
  remark?: string
}

const phi2 = (id: string): Figure => ({ id, contender: 'phi2' })
const llama = (id: string): Figure => ({ id, contender: 'llama.cpp' })
const peer = (id: string): Figure => ({ id, contender: 'node-llama-cpp' })

const LONGEST_ABORT_MS = 100

export const TARGETS: readonly Target[] = [
  { text: 'decode, 1 stream: of llama-bench', of: phi2('decode-1'), to: llama('decode-1'), atLeast: 0.99 },
  ofPeer('decode, 1 stream', 'decode-1', 'llama-bench', 1.15),
  { text: 'prefill 512: of llama-bench', of: phi2('prefill-512'), to: llama('prefill-512'), atLeast: 0.98 },
  ofPeer('prefill 512', 'prefill-512', 'llama-bench', 1.25),
  { text: '8 streams: of llama-batched-bench', of: phi2('decode-8'), to: llama('decode-8'), atLeast: 0.95 },
  ofPeer('8 streams', 'decode-8', 'llama-batched-bench', 2.5),
  { text: 'JS thread blocked: of idle', of: phi2('busy-blocked'), to: phi2('busy-idle'), atLeast: 0.97 },
  {
    ...{ text: 'JS thread computing: of idle', of: phi2('busy-burning'), to: phi2('busy-idle'), atLeast: 0.97 },
    bound: { text: 'llama-bench beside such a process', of: llama('busy-burning'), to: llama('busy-idle') },
  },
  {
    ...{ text: 'second turn: of the prefill of its new tokens alone', atMost: 1.1 },
    ...{ of: phi2('chat-second-turn'), to: phi2('chat-new-alone') },
  },
  { text: 'shared prefix: tokens decoded more than once', of: phi2('prefix-wasted'), atMost: 0 },
  ...TASKS.filter((task) => task.atLeast !== undefined).map(lookupTarget),
  { text: 'abort in prefill, settled, p99 in ms', of: phi2('abort-prefill-settled-p99'), atMost: longestAbort },
  { text: 'abort in decode, settled, p99 in ms', of: phi2('abort-decode-settled-p99'), atMost: longestAbort },
  { text: 'command line, cold start to first text in ms', of: phi2('cold-start'), atMost: 300 },
]

/** The engine alone says how much could be had: what it is beside node-llama-cpp depends on the machine. */
function ofPeer(title: string, id: string, tool: string, atLeast: number): Target {
  return {
    ...{ text: `${title}: of node-llama-cpp`, of: phi2(id), to: peer(id), atLeast },
    bound: { text: `${tool} beside node-llama-cpp`, of: llama(id), to: peer(id) },
  }
}

function lookupTarget({ name, title, atLeast }: Task): Target {
  const to = phi2(`speculate-${name}-plain`)
  return { text: `lookup, ${title}: of plain decoding`, of: phi2(`speculate-${name}`), to, atLeast: atLeast! }
}

/** 100 ms, or one decode step if that takes longer. */
function longestAbort(measurements: readonly Measurement[]): number {
  const decode = measurements.find(({ id }) => id === 'decode-1')?.values.phi2
  return Math.max(LONGEST_ABORT_MS, decode ? 1000 / summarize(decode).median : 0)
}

/** Each target for each model that its figures were measured with. */
export function judge(measurements: readonly Measurement[], targets: readonly Target[] = TARGETS): Verdict[] {
  const models = [...new Set(measurements.map(({ model }) => model))]
  return targets.flatMap((target) =>
    models.flatMap((model) => {
      const verdict = judgeOne(
        target,
        measurements.filter((measurement) => measurement.model === model),
      )
      return verdict ? [{ ...verdict, model }] : []
    }),
  )
}

function judgeOne(target: Target, measurements: readonly Measurement[]): Omit<Verdict, 'model'> | undefined {
  const value = compare(measurements, target.of, target.to)
  if (!value) return undefined
  const { text, atLeast, atMost = Number.NaN, bound } = target
  const limit = atLeast ?? (typeof atMost === 'number' ? atMost : atMost(measurements))
  const could = bound && compare(measurements, bound.of, bound.to)
  return {
    text,
    value,
    sign: atLeast === undefined ? '≤' : '≥',
    limit,
    met: atLeast === undefined ? value.median <= limit : value.median >= limit,
    ...(could ? { remark: `${bound.text}: ${could.median.toFixed(2)}` } : {}),
  }
}

function compare(measurements: readonly Measurement[], of: Figure, to: Figure | undefined): Summary | undefined {
  const values = ({ id, contender }: Figure) => measurements.find((found) => found.id === id)?.values[contender]
  if (to) return ratio(values(of), values(to))
  const own = values(of)
  return own && own.length > 0 ? summarize(own) : undefined
}
