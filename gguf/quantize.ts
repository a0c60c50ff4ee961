import { open, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { dirname, join, parse, resolve } from 'node:path'
import { optionError, Phi2Error } from '../src/errors.js'
import { loadAddon, type NativeQuantizeOptions } from '../src/native.js'
import { guarded, settle } from '../src/native-task.js'
import { checkTarget, writeAtomically } from './atomic-file.js'
import { checkBoolean, checkChoice, checkInteger, checkText, checkWork, type OptionNames } from './checks.js'
import { FILE_TYPES, type QuantizeType, quantizeType } from './file-types.js'
import {
  DEFAULT_ALIGNMENT,
  GGML_TYPES,
  type GgmlTypeName,
  type GgufHeader,
  type GgufMetadata,
  isFloatType,
  sumBytes,
} from './format.js'
import { checkFreeSpace } from './free-space.js'
import { type Imatrix, readImatrix } from './imatrix-file.js'
import { mixtureOf } from './mixture-shares.js'
import { type ColumnWeights, columnWeights, imatrixKeys } from './quantize-imatrix.js'
import { checkImportances, checkWorthwhile, type Fallback, makePlan, type QuantizePlan } from './quantize-plan.js'
import { readHeader } from './read.js'
import { layOut } from './write.js'

/** What a single tensor can be asked to be stored in: all that needs no importance matrix. */
export const TENSOR_TYPES = [
  'f32',
  'f16',
  'bf16',
  'q8_0',
  'q6_k',
  'q5_1',
  'q5_k',
  'q5_0',
  'q4_1',
  'q4_k',
  'q4_0',
  'iq4_nl',
  'iq4_xs',
  'q3_k',
  'iq3_s',
  'q2_k',
] as const satisfies readonly GgmlTypeName[]
export type TensorType = (typeof TENSOR_TYPES)[number]

export interface QuantizeOptions {
  /** A Phi-2 GGUF file, best in F32, F16 or BF16. */
  from: string
  /**
   * The GGUF file to write; its folder must exist.
   * @default beside `from`, under its name with the other type: `phi-2-f16.gguf` → `phi-2-q4_k_m.gguf`
   */
  to?: string | undefined
  /** Whether an older file under `to` is replaced, once the new one is complete. @default true */
  overwrite?: boolean | undefined
  /** `q4_k_m` is a good middle: a third of F16's size and little loss. Capitals do not matter. */
  type: QuantizeType | Uppercase<QuantizeType>
  /** A file of `phi2 imatrix` or of llama.cpp's tool, in either of its forms: less is lost where it matters. */
  imatrix?: string | undefined
  /** Type of the output matrix, instead of q6_k (q8_0 in a q8_0 file). */
  outputTensorType?: TensorType | undefined
  /** Type of the token embeddings, instead of the file's own. */
  tokenEmbeddingType?: TensorType | undefined
  /** Every matrix in the base type, instead of llama.cpp's mixture that spares the ones that matter. @default false */
  pure?: boolean | undefined
  /** Leave the output matrix as it is. @default false */
  leaveOutputTensor?: boolean | undefined
  /** Take a file that is quantized already, which loses more than starting from F16. @default false */
  allowRequantize?: boolean | undefined
  /** Only tell what the file would be like; nothing is written, and no weight is read. @default false */
  dryRun?: boolean | undefined
  /** @default the number of processors */
  threads?: number | undefined
  /** An abort is heeded between two tensors: after half a minute at worst, in a full-size model. */
  signal?: AbortSignal | undefined
  /** 0 to 1, by bytes of the tensors that are done. */
  onProgress?: ((fraction: number) => void) | undefined
}

export interface QuantizeResult {
  /** Absent after a dry run. */
  path?: string
  type: QuantizeType
  /** Size of the file. */
  bytes: number
  /** Size of its tensors without keys and padding. */
  tensorBytes: number
  /** `tensorBytes` · 8 / number of weights. */
  bitsPerWeight: number
  /** What the tensors are stored in, those that take most room first. */
  tensorTypes: { type: GgmlTypeName; tensors: number; bytes: number }[]
  /** Tensors stored in another type than wanted, because their rows do not fill whole blocks; none in a full-size Phi-2. */
  fallbacks: Fallback[]
}

const OPTIONS: OptionNames<QuantizeOptions> = {
  from: true,
  to: true,
  overwrite: true,
  type: true,
  imatrix: true,
  outputTensorType: true,
  tokenEmbeddingType: true,
  pure: true,
  leaveOutputTensor: true,
  allowRequantize: true,
  dryRun: true,
  threads: true,
  signal: true,
  onProgress: true,
}

/**
 * Quantizes a GGUF file with llama.cpp, off the main thread. The result is written beside `to` and renamed. What makes no
 * sense is refused with the reason before anything is written.
 *
 * @example
 * await quantize({ from: 'phi-2-f16.gguf', to: 'phi-2-q4_k_m.gguf', type: 'q4_k_m' })
 * const { bytes } = await quantize({ from: 'phi-2-f16.gguf', type: 'iq3_xxs', dryRun: true })
 *
 * @throws {Phi2Error} `PHI2_MODEL_NOT_FOUND`, `PHI2_INVALID_GGUF` or `PHI2_NOT_PHI2` for the file given,
 * `PHI2_INVALID_IMATRIX` for the importance matrix, `PHI2_QUANTIZE_FAILED` for a file that should not be quantized so (it
 * is quantized already, its weights are too large for half precision), `PHI2_NO_SPACE` or `PHI2_IO` when the result cannot
 * be written, `PHI2_BINDING_NOT_FOUND` without the native addon. A TypeError or RangeError with `PHI2_INVALID_OPTION` for
 * wrong options, a type that does not suit Phi-2 among them. Aborting throws `signal.reason` and leaves no file.
 */
export async function quantize(options: QuantizeOptions): Promise<QuantizeResult> {
  const type = checkQuantizeOptions(options)
  const { from, dryRun = false, overwrite = true, allowRequantize = false, signal } = options
  signal?.throwIfAborted()
  const header = await readPhi2(from)
  checkTensorTypes(header, options)
  const imatrix = options.imatrix === undefined ? undefined : await readImatrix(options.imatrix)
  const weights = imatrix === undefined ? [] : columnWeights(options.imatrix!, imatrix, header.tensors)
  const request = nativeOptions(options, type, header, imatrix, weights)
  const report = await settle(loadAddon().quantize({ ...request, path_out: '', dry_run: true }), signal)
  const plan = makePlan(header, report, type)
  const bytes = fileSize(header, plan, request.keys)
  if (dryRun) return summarize(type, plan, bytes)

  checkWorthwhile(from, header, plan, type, allowRequantize)
  checkImportances(plan, type, imatrix !== undefined, new Set(weights.map(({ name }) => name)))
  const to = options.to ?? defaultPath(from, type)
  await checkTarget(to, overwrite, options.imatrix === undefined ? [from] : [from, options.imatrix])
  const folder = dirname(resolve(to))
  const purpose = `Quantizing ${from} to ${type}`
  await checkFreeSpace(folder, bytes, purpose)
  return writeAtomically(to, async (temporaryPath) => {
    // the engine would only say that a stream failed
    await (await open(temporaryPath, 'wx')).close()
    const written = await writeQuantized(request, plan, temporaryPath, options).catch(async (error: unknown) => {
      if (isFailure(error)) await checkFreeSpace(folder, bytes - (await stat(temporaryPath)).size, purpose)
      throw error
    })
    return { path: to, ...summarize(type, { ...plan, tensors: written.tensors }, written.fileSize) }
  })
}

/** As many as the engine takes. */
const MAX_THREADS = 512

const FLAGS = ['overwrite', 'pure', 'leaveOutputTensor', 'allowRequantize', 'dryRun'] as const

function checkQuantizeOptions(options: QuantizeOptions): QuantizeType {
  checkWork(options, OPTIONS)
  const { from, to, imatrix, outputTensorType, tokenEmbeddingType, threads } = options
  checkText('from', from)
  if (to !== undefined) checkText('to', to)
  const type = quantizeType(options.type)
  if (imatrix !== undefined) checkText('imatrix', imatrix)
  if (outputTensorType !== undefined) checkChoice('outputTensorType', outputTensorType, TENSOR_TYPES)
  if (tokenEmbeddingType !== undefined) checkChoice('tokenEmbeddingType', tokenEmbeddingType, TENSOR_TYPES)
  if (threads !== undefined) checkInteger('threads', threads, 1, MAX_THREADS)
  for (const name of FLAGS) if (options[name] !== undefined) checkBoolean(name, options[name])
  if (imatrix !== undefined && FILE_TYPES[type].imatrix === 'unused') {
    throw optionError('range', `An importance matrix changes nothing in a file of type ${type}: leave imatrix out.`)
  }
  if (options.leaveOutputTensor && outputTensorType !== undefined) {
    throw optionError('range', 'leaveOutputTensor keeps the output matrix as it is: leave outputTensorType out.')
  }
  return type
}

/** Without the name of a type at its end. */
function defaultPath(from: string, type: QuantizeType): string {
  const { dir, name } = parse(from)
  const [, stem = name, separator = '-'] = new RegExp(`^(.+)([-._])(${FILE_TYPE_NAMES})$`, 'i').exec(name) ?? []
  return join(dir, `${stem}${separator}${type}.gguf`)
}

const FILE_TYPE_NAMES = Object.keys(FILE_TYPES).join('|')

/** The engine is handed only files whose header was found sound. */
async function readPhi2(path: string): Promise<GgufHeader> {
  const header = await readHeader(path)
  const architecture = header.metadata.get('general.architecture')?.value
  if (architecture === 'phi2') return header
  throw new Phi2Error(
    'PHI2_NOT_PHI2',
    `${path} holds the architecture ${JSON.stringify(architecture)}; expected "phi2".`,
  )
}

/** Of a type that was asked for by name the engine takes for granted that it fits. */
function checkTensorTypes({ tensors }: GgufHeader, options: QuantizeOptions): void {
  const asked = { 'output.weight': options.outputTensorType, 'token_embd.weight': options.tokenEmbeddingType }
  for (const [name, type] of Object.entries(asked)) {
    const rowLength = tensors.find((tensor) => tensor.name === name)?.shape[0]
    if (type === undefined || rowLength === undefined) continue
    const { blockSize } = GGML_TYPES[type]
    if (rowLength % blockSize === 0) continue
    throw optionError(
      'range',
      `${name} has rows of ${rowLength} weights, which are not a multiple of the ${blockSize} in a block of ${type}.`,
    )
  }
}

type Request = Omit<NativeQuantizeOptions, 'path_out' | 'dry_run'>

function nativeOptions(
  options: QuantizeOptions,
  type: QuantizeType,
  { alignment, dataOffset, tensors }: GgufHeader,
  imatrix: Imatrix | undefined,
  weights: ColumnWeights[],
): Request {
  const { outputTensorType, tokenEmbeddingType } = options
  return {
    path_in: options.from,
    ftype: FILE_TYPES[type].id,
    n_threads: options.threads ?? Math.min(availableParallelism(), MAX_THREADS),
    allow_requantize: options.allowRequantize ?? false,
    quantize_output_tensor: !(options.leaveOutputTensor ?? false),
    pure: options.pure ?? false,
    output_tensor_type: outputTensorType && GGML_TYPES[outputTensorType].id,
    token_embedding_type: tokenEmbeddingType && GGML_TYPES[tokenEmbeddingType].id,
    tensors: tensors.map(({ name, type, offset, byteLength }) => ({
      name,
      type: GGML_TYPES[type].id,
      offset: dataOffset + offset,
      bytes: byteLength,
      limit: Number.POSITIVE_INFINITY,
    })),
    imatrix: weights,
    keys: [
      // the engine copies the key and pads by its own default all the same
      ...(alignment === DEFAULT_ALIGNMENT ? [] : [{ name: 'general.alignment', value: DEFAULT_ALIGNMENT }]),
      ...(imatrix === undefined ? [] : imatrixKeys(options.imatrix!, imatrix)),
    ],
  }
}

/** The engine writes the keys of the old file and those of its own. */
function fileSize({ metadata }: GgufHeader, { tensors }: QuantizePlan, keys: Request['keys']): number {
  const all: GgufMetadata = new Map(metadata)
  for (const key of ['general.quantization_version', 'general.file_type']) all.set(key, { type: 'uint32', value: 0 })
  for (const { name, value } of keys) {
    all.set(name, typeof value === 'string' ? { type: 'string', value } : { type: 'uint32', value })
  }
  const layout = layOut({
    metadata: all,
    tensors: tensors.map((tensor) => ({ ...tensor, type: tensor.to, data: () => [] })),
  })
  return layout.header.length + layout.dataBytes
}

/** Half precision ends here; quantized blocks keep their scales in it. */
const LARGEST_HALF = 65504

async function writeQuantized(
  request: Request,
  plan: QuantizePlan,
  path: string,
  { signal, onProgress }: QuantizeOptions,
): Promise<{ tensors: QuantizePlan['tensors']; fileSize: number }> {
  const types = new Map(plan.tensors.map(({ name, from, to }) => [name, { from, to }]))
  const tensors = request.tensors.map((tensor) => {
    const { from, to } = types.get(tensor.name)!
    const narrowed = from !== to && (to === 'f16' || !isFloatType(to))
    return narrowed ? { ...tensor, limit: LARGEST_HALF } : tensor
  })
  let running = true
  const report = (fraction: number): void => {
    // one may still be on its way when the work is done
    if (running && onProgress) guarded(() => onProgress(fraction))
  }
  await settle(
    loadAddon().quantize({ ...request, tensors, path_out: path, dry_run: false, onProgress: report }),
    signal,
  )
  signal?.throwIfAborted()
  report(1)
  running = false
  const { tensors: written, fileSize } = await readHeader(path)
  const stored = written.map(({ name, type, shape, byteLength }) => {
    return { name, from: types.get(name)!.from, to: type, shape, byteLength }
  })
  return { tensors: stored, fileSize }
}

function isFailure(error: unknown): boolean {
  return error instanceof Phi2Error && error.code === 'PHI2_QUANTIZE_FAILED'
}

function summarize(type: QuantizeType, { tensors, fallbacks }: QuantizePlan, bytes: number): QuantizeResult {
  const mixture = mixtureOf(tensors.map(({ to, shape, byteLength }) => ({ type: to, shape, byteLength })))
  const tensorBytes = sumBytes(tensors)
  const weights = mixture.reduce((sum, { parameters }) => sum + parameters, 0)
  return {
    type,
    bytes,
    tensorBytes,
    bitsPerWeight: (tensorBytes * 8) / weights,
    tensorTypes: mixture.map(({ type, tensors, bytes }) => ({ type, tensors, bytes })),
    fallbacks,
  }
}
