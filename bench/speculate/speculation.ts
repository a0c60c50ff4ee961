import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { randomSource } from '../../gguf/random-weights.js'
import type { Chunk } from '../../src/dispatcher.js'
import { plainRequest } from '../../src/evaluate.js'
import { Phi2 } from '../../src/index.js'
import type { NativeEndEvent } from '../../src/native.js'
import { packageRoot } from '../../src/package-root.js'
import type { LoadOptions } from '../../src/types.js'
import type { ModelName } from '../options.js'
import { chain } from './chain.js'
import { writeChainModel } from './chain-model.js'
import type { Task } from './tasks.js'

export interface SpeculationRun {
  /** Decoding, without the prompt: tokens per second. */
  rate: number
  accepted: number
  rejected: number
}

/** Runs tasks on a chain model; every run has another text. */
export class Speculation {
  #runs = 0

  constructor(private readonly phi2: Phi2) {}

  static async load(path: string, options: LoadOptions = {}): Promise<Speculation> {
    return new Speculation(await Phi2.load({ model: path, maxSequences: 1, ...options }))
  }

  close(): Promise<void> {
    return this.phi2.close()
  }

  async run(task: Task, tokens: number, speculate: 'none' | 'lookup', length = 0): Promise<SpeculationRun> {
    const run = this.#runs++
    const random = randomSource(run)
    // The two of a round get texts alike, not the same one: it would be in the cache.
    const text = chain(run * (tokens + 1), tokens + 1)
    const prompt = Int32Array.from([...task.prompt(text.subarray(1), random), text[0]!])
    const request = {
      ...plainRequest(prompt),
      n_predict: tokens,
      speculate,
      n_draft: speculate === 'none' ? 0 : length,
    }
    const { engine, dispatcher } = this.phi2.internals
    const written: number[] = []
    const end = await new Promise<NativeEndEvent>((resolve, reject) => {
      const onChunk = (chunk: Chunk) => written.push(...chunk.tokens)
      dispatcher.submit(engine, request, [{ onChunk, onEnd: resolve, onError: reject }])
    })
    const wrong = written.findIndex((token, i) => token !== text[i + 1])
    if (wrong >= 0 || written.length !== tokens) {
      throw new Error(`The model left its chain at token ${wrong} of ${written.length}.`)
    }
    return {
      rate: ((tokens - 1) * 1000) / end.decodeMs,
      accepted: end.acceptedPredictionTokens,
      rejected: end.rejectedPredictionTokens,
    }
  }
}

/** The file of a chain model, made if it is not there. */
export async function chainModel(type: ModelName): Promise<string> {
  const folder = join(packageRoot(), 'build', 'bench')
  await mkdir(folder, { recursive: true })
  const path = join(folder, `phi-2-chain-${type}.gguf`)
  if (!existsSync(path)) await writeChainModel(path, type)
  return path
}
