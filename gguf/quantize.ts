import { stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { nativeError, Phi2Error } from '../src/errors.js'
import { loadAddon } from '../src/native.js'
import { writeAtomically } from './atomic-file.js'
import { checkChoice, checkInteger, checkText } from './checks.js'
import { readHeader } from './read.js'

/** llama.cpp's names, in lower case, of what the addon quantizes to: all that needs no importance matrix and suits Phi-2. */
export const QUANTIZE_TYPES = [
  'f32',
  'f16',
  'bf16',
  'q8_0',
  'q6_k',
  'q5_k_m',
  'q5_k_s',
  'q5_1',
  'q5_0',
  'q4_k_m',
  'q4_k_s',
  'q4_1',
  'q4_0',
  'iq4_nl',
  'q3_k_l',
  'q3_k_m',
  'q3_k_s',
  'q2_k',
] as const
export type QuantizeType = (typeof QUANTIZE_TYPES)[number]

export interface QuantizeOptions {
  /** A Phi-2 GGUF file, best in F32, F16 or BF16. */
  from: string
  /** The GGUF file to write; its folder must exist. It may be `from`. */
  to: string
  /** `q4_k_m` is a good middle: a third of F16's size and little loss. */
  type: QuantizeType
  /** @default the number of processors */
  threads?: number | undefined
  /** Take a file that is quantized already, which loses more than starting from F16. @default false */
  allowRequantize?: boolean | undefined
  /** Every matrix in the base type, instead of llama.cpp's mixture that spares the ones that matter. @default false */
  pure?: boolean | undefined
}

export interface QuantizeResult {
  path: string
  /** Size of the file. */
  bytes: number
}

/**
 * Quantizes a GGUF file with llama.cpp, off the main thread. The result is written beside `to` and renamed.
 *
 * @example
 * await quantize({ from: 'phi-2-f16.gguf', to: 'phi-2-q4_k_m.gguf', type: 'q4_k_m' })
 *
 * @throws {Phi2Error} `PHI2_MODEL_NOT_FOUND`, `PHI2_INVALID_GGUF` or `PHI2_NOT_PHI2` for the file given,
 * `PHI2_QUANTIZE_FAILED` when llama.cpp refuses (it is quantized already), `PHI2_IO` when the result cannot be written,
 * `PHI2_BINDING_NOT_FOUND` without the native addon. A TypeError or RangeError with `PHI2_INVALID_OPTION` for wrong options.
 */
export async function quantize(options: QuantizeOptions): Promise<QuantizeResult> {
  const { from, to, type, threads = availableParallelism(), allowRequantize = false, pure = false } = options
  checkText('from', from)
  checkText('to', to)
  checkChoice('type', type, QUANTIZE_TYPES)
  checkInteger('threads', threads, 1, 512)
  await checkIsPhi2(from)
  const addon = loadAddon()
  return writeAtomically(to, async (temporaryPath) => {
    await addon
      .quantize({
        path_in: from,
        path_out: temporaryPath,
        type,
        n_threads: threads,
        allow_requantize: allowRequantize,
        pure,
      })
      .catch((error: unknown) => {
        throw nativeError(error)
      })
    return { path: to, bytes: (await stat(temporaryPath)).size }
  })
}

/** The engine is handed only files whose header was found sound. */
async function checkIsPhi2(path: string): Promise<void> {
  const { metadata } = await readHeader(path)
  const architecture = metadata.get('general.architecture')?.value
  if (architecture === 'phi2') return
  throw new Phi2Error(
    'PHI2_NOT_PHI2',
    `${path} holds the architecture ${JSON.stringify(architecture)}; expected "phi2".`,
  )
}
