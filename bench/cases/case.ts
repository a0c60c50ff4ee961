import { setTimeout as sleep } from 'node:timers/promises'
import type { SubjectDriver } from '../contenders/drive.js'
import type { LlamaTools } from '../contenders/llama-tools.js'
import type { SubjectOptions } from '../contenders/subject.js'
import type { Contender, Measurement } from '../report/results.js'

/** What is compared with what, and how it is counted. */
export interface Case {
  name: string
  /** What is measured and how, in sentences for the report. */
  how: string
  /** `each` of the full-size models, the `first` of them, the embedded one, or a small one with random weights. */
  models: 'each' | 'first' | 'tiny' | 'small'
  run(bench: Bench): Promise<Measurement[]>
}

export type Library = Exclude<Contender, 'llama.cpp'>
export const LIBRARIES = ['phi2', 'node-llama-cpp'] as const satisfies readonly Library[]

export type OpenOptions = Omit<SubjectOptions, 'model' | 'threads'>

/** What a case works with. */
export interface Bench {
  /** Few rounds and short texts: to see that all works, not to publish. */
  quick: boolean
  threads: number
  model: { name: string; path: string /** Only what tells the types apart is measured. */; further: boolean }
  tools: LlamaTools
  /** Entry of node-llama-cpp. */
  peer: string
  rounds(usual: number): number
  /** A process with the library in it and the model loaded. */
  open(library: Library, options: OpenOptions): Promise<SubjectDriver>
  /** The same without loading. */
  start(library: Library): SubjectDriver
  /** A number that was not given before, for a text that no cache knows. */
  fresh(): number
  progress(text: string): void
}

// A compute thread goes on looking for work for a while (some 0.2 s in ggml) before it sleeps: the next one's core.
const SETTLE_MS = 300

/** Measures the contenders one after the other in each round, every time with another of them first. */
export async function alternate<K extends string>(
  bench: Pick<Bench, 'progress'>,
  rounds: number,
  title: string,
  contenders: Partial<Record<K, () => Promise<number>>>,
): Promise<Partial<Record<K, number[]>>> {
  const values: Partial<Record<K, number[]>> = {}
  const entries = Object.entries(contenders) as [K, () => Promise<number>][]
  for (let round = 0; round < rounds; round++) {
    const first = round % entries.length
    for (const [contender, measure] of [...entries.slice(first), ...entries.slice(0, first)]) {
      bench.progress(`${title}, round ${round + 1} of ${rounds}: ${contender}`)
      await sleep(SETTLE_MS)
      const value = await measure()
      values[contender] = [...(values[contender] ?? []), value]
    }
  }
  return values
}

/** A process for each library with the model loaded, closed whatever happens. */
export async function withLibraries<T>(
  bench: Bench,
  options: OpenOptions | Record<Library, OpenOptions>,
  work: (drivers: Record<Library, SubjectDriver>) => Promise<T>,
): Promise<T> {
  const each = 'phi2' in options ? options : { phi2: options, 'node-llama-cpp': options }
  const drivers: Partial<Record<Library, SubjectDriver>> = {}
  try {
    for (const library of LIBRARIES) drivers[library] = await bench.open(library, each[library])
    return await work(drivers as Record<Library, SubjectDriver>)
  } finally {
    await Promise.all(Object.values(drivers).map((driver) => driver.close()))
  }
}
