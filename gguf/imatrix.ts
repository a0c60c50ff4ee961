import type { OptionSpec } from '../src/options.js'
import { checkTarget } from './atomic-file.js'
import { checkText } from './checks.js'
import { writeImatrix } from './imatrix-file.js'
import { readText } from './reading.js'
import { type Reading, type ReadingOptions, readingSchema } from './reading-options.js'

export interface ImatrixOptions extends ReadingOptions {
  /** The file to write; its folder must exist. */
  to: string
  /** Whether an older file under `to` is replaced, once the new one is complete. @default true */
  overwrite?: boolean | undefined
  /** Name of the text, noted in the file and in what is quantized with it. @default none */
  dataset?: string | undefined
  /** The output layer too. llama.cpp keeps it at Q6_K or more, where it matters little. @default false */
  processOutput?: boolean | undefined
}

export interface ImatrixResult extends Reading {
  path: string
  /** Size of the file. */
  bytes: number
  /** Matrices of the model that are in it. */
  entries: number
  /** Of the model on this text. A high one says that the text is not of the kind that the model knows. */
  perplexity: number
}

const schema = {
  ...readingSchema,
  to: { type: 'string', doc: 'File to write', cli: false },
  overwrite: { type: 'boolean', default: true, doc: 'Replace an older file', cli: false },
  dataset: { type: 'string', doc: 'Name of the text', cli: false },
  processOutput: { type: 'boolean', default: false, doc: 'The output layer too', cli: true },
} as const satisfies Record<keyof ImatrixOptions, OptionSpec>

/**
 * Computes an importance matrix, off the main thread: which inputs of the model's matrices a text makes large, so that
 * `quantize` keeps the weights behind them exact. The model is best in F16; the text should be like what the quantized
 * model is for, some hundred thousand tokens of it. The file is llama.cpp's GGUF form.
 *
 * @example
 * await computeImatrix({ model: 'phi-2-f16.gguf', text: await readFile('notes.txt', 'utf8'), to: 'imatrix.gguf' })
 * await quantize({ from: 'phi-2-f16.gguf', to: 'phi-2-q3_k_m.gguf', type: 'q3_k_m', imatrix: 'imatrix.gguf' })
 *
 * @throws {Phi2Error} `PHI2_TEXT_TOO_SHORT` for less than two chunks, `PHI2_DECODE_FAILED` (also for numbers that are not
 * finite), `PHI2_IO` when the file cannot be written or is there already (`overwrite: false`), and the codes of
 * `Phi2.load`. A TypeError or RangeError with `PHI2_INVALID_OPTION` for wrong options; `signal.reason` when aborted: then
 * nothing is written.
 */
export async function computeImatrix(options: ImatrixOptions): Promise<ImatrixResult> {
  const { to, dataset, processOutput = false, overwrite = true } = options ?? {}
  checkText('to', to)
  const { found, reading } = await readText(options, schema, async (addon, native) => {
    await checkTarget(to, overwrite, [native.path_model])
    return addon.importance({ ...native, process_output: processOutput })
  })
  const bytes = await writeImatrix(to, {
    datasets: dataset === undefined ? [] : [dataset],
    chunkCount: found.chunks,
    chunkSize: reading.contextSize,
    entries: new Map(found.tensors.map(({ name, sums, count }) => [name, { sums, counts: Float32Array.of(count) }])),
  })
  return { ...reading, path: to, bytes, entries: found.tensors.length, perplexity: found.perplexity }
}
