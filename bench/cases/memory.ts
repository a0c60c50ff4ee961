import { wordsText } from '../contenders/words.js'
import type { Measurement } from '../report/results.js'
import { type Bench, type Case, LIBRARIES, type Library, type OpenOptions } from './case.js'

const STREAM = 512
const STREAMS = 8

interface Setting {
  id: string
  title: string
  options: OpenOptions
  remark?: string
}

const SETTINGS: Setting[] = [
  { id: 'memory-1', title: 'memory, 1 stream of 512 positions', options: { contextSize: STREAM, streams: 1 } },
  { id: 'memory-8', title: 'memory, 8 streams of 512 positions', options: { contextSize: STREAM, streams: STREAMS } },
  {
    id: 'memory-8-shared',
    title: 'memory, 8 chats that may each grow to 2048 positions',
    options: { contextSize: 2048, streams: STREAMS, shared: true },
    remark: 'phi2: they share 2048 positions; node-llama-cpp: 2048 positions each, it cannot share them',
  },
]

export const memory: Case = {
  name: 'memory',
  how:
    "What the process holds besides its view of the model's file, less what it held before the library " +
    'loaded the model: repacked weights, KV cache, compute buffers. Measured after each stream has ' +
    'answered once.',
  models: 'first',
  async run(bench) {
    const found = new Map<string, Measurement>()
    for (const { id, title, options, remark } of SETTINGS) {
      const values: Partial<Record<Library, number[]>> = {}
      for (const library of LIBRARIES) {
        bench.progress(`${title}: ${library}`)
        values[library] = [await addedMegabytes(bench, library, options)]
      }
      found.set(id, {
        ...{ id, title, model: bench.model.name, unit: 'MB', better: 'less', values },
        ...(remark === undefined ? {} : { remark }),
      })
    }
    return [...found.values(), perStream(found.get('memory-1')!, found.get('memory-8')!)]
  },
}

async function addedMegabytes(bench: Bench, library: Library, options: OpenOptions): Promise<number> {
  const driver = bench.start(library)
  try {
    const before = await driver.call('memory', undefined)
    await driver.call('load', { ...options, model: bench.model.path, threads: bench.threads })
    const prompts = Array.from({ length: options.streams }, () => wordsText(16, bench.fresh()))
    await driver.call('run', { prompts, maxTokens: 4 })
    return (await driver.call('memory', undefined)).own - before.own
  } finally {
    await driver.close()
  }
}

function perStream(one: Measurement, eight: Measurement): Measurement {
  const values = Object.fromEntries(
    LIBRARIES.map((library) => [library, [(eight.values[library]![0]! - one.values[library]![0]!) / (STREAMS - 1)]]),
  )
  const remark = `its keys and values alone: ${(kvBytes(STREAM) / 1e6).toFixed(0)} MB`
  return { ...one, id: 'memory-per-stream', title: 'memory, each further stream of 512 positions', values, remark }
}

/** Keys and values of so many positions of Phi-2 in 16 bits. */
function kvBytes(positions: number): number {
  const layers = 32
  const embeddingSize = 2560
  return positions * layers * 2 * embeddingSize * 2
}
