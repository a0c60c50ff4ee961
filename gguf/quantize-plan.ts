import { optionError, Phi2Error } from '../src/errors.js'
import type { NativeQuantizeReport } from '../src/native.js'
import { FILE_TYPES, type QuantizeType } from './file-types.js'
import { GGML_TYPES, type GgmlTypeName, type GgufHeader, isFloatType, sumBytes, tensorByteLength } from './format.js'

/** A tensor whose rows do not fill whole blocks of the type that it should have. */
export interface Fallback {
  name: string
  wanted: GgmlTypeName
  type: GgmlTypeName
}

/** What becomes of one tensor. */
export interface TensorPlan {
  name: string
  from: GgmlTypeName
  to: GgmlTypeName
  shape: readonly number[]
  byteLength: number
}

export interface QuantizePlan {
  tensors: TensorPlan[]
  fallbacks: Fallback[]
}

/** Types that the engine makes garbage of, or asserts, when nothing is known of the columns. */
const NEED_IMATRIX: readonly GgmlTypeName[] = ['iq3_xxs', 'iq2_xxs', 'iq2_xs', 'iq2_s', 'iq1_m', 'iq1_s']

/** Puts together what the engine says it will do. */
export function makePlan(header: GgufHeader, report: NativeQuantizeReport, type: QuantizeType): QuantizePlan {
  const changes = new Map(report.changes.map((change) => [change.name, typeName(change.type)]))
  const tensors = header.tensors.map(({ name, type: from, shape }) => {
    const to = changes.get(name) ?? from
    return { name, from, to, shape, byteLength: tensorByteLength(to, shape) }
  })
  const fallbacks = report.fallbacks.map(({ name, wanted, type }) => ({
    name,
    wanted: typeName(wanted),
    type: typeName(type),
  }))
  return { tensors, fallbacks: [...fallbacks, ...silentFallbacks(tensors, fallbacks, type)] }
}

/** The engine's names differ from ours by capitals: `q4_K`. */
function typeName(name: string): GgmlTypeName {
  return name.toLowerCase() as GgmlTypeName
}

/** The output matrix the engine stores in q8_0 without a word when its rows do not fit the file's type. */
function silentFallbacks(tensors: readonly TensorPlan[], said: readonly Fallback[], type: QuantizeType): Fallback[] {
  const wanted = FILE_TYPES[type].base
  return tensors
    .filter(({ name, from, to, shape }) => {
      const fits = shape[0]! % GGML_TYPES[wanted].blockSize === 0
      return name === 'output.weight' && from !== to && to === 'q8_0' && !fits
    })
    .filter(({ name }) => !said.some((fallback) => fallback.name === name))
    .map(({ name, to }) => ({ name, wanted, type: to }))
}

/**
 * Refuses what would lose weights for nothing.
 * @throws {Phi2Error} `PHI2_QUANTIZE_FAILED`
 */
export function checkWorthwhile(
  path: string,
  header: GgufHeader,
  { tensors }: QuantizePlan,
  type: QuantizeType,
  allowRequantize: boolean,
): void {
  const refuse = (reason: string): never => {
    throw new Phi2Error('PHI2_QUANTIZE_FAILED', `${path} is not quantized to ${type}: ${reason}`)
  }
  const changed = tensors.filter(({ from, to }) => from !== to)
  if (changed.length === 0) refuse('every tensor has the type that it would get; the file is what you want already.')
  const rounded = changed.filter(({ from }) => !isFloatType(from))
  if (rounded.length === 0) return
  if (!allowRequantize) {
    refuse(
      `it is quantized already (${rounded[0]!.name} is ${rounded[0]!.from}), and rounding twice loses more than ` +
        'rounding once. Start from the F16 file, or allow it: allowRequantize, or --allow-requantize on the command line.',
    )
  }
  const [before, after] = [sumBytes(header.tensors), sumBytes(tensors)]
  if (!isFloatType(FILE_TYPES[type].base) && after >= before) {
    refuse(
      `with ${after} bytes it would be no smaller than the quantized weights it is made from (${before} bytes), and ` +
        'less exact. Start from the F16 file.',
    )
  }
}

/**
 * Refuses a plan that the engine would answer with garbage or an assertion.
 * @throws {RangeError} `PHI2_INVALID_OPTION`
 */
export function checkImportances(
  { tensors }: QuantizePlan,
  type: QuantizeType,
  hasImatrix: boolean,
  weighted: ReadonlySet<string>,
): void {
  const lacking = tensors.find(
    ({ name, from, to }) => from !== to && !weighted.has(name) && needsImatrix(name, to, type),
  )
  if (lacking === undefined) return
  const { name, to } = lacking
  if (!hasImatrix) {
    throw optionError(
      'range',
      `Expected an importance matrix for type ${type}: without one ${name}, stored as ${to}, would be garbage. ` +
        'Compute one with `phi2 imatrix` and pass it as imatrix.',
    )
  }
  throw optionError(
    'range',
    `${name} would be stored as ${to}, for which the importance matrix would have to know its columns, and it does ` +
      `not. Leave out pure, or pass ${name === 'token_embd.weight' ? 'tokenEmbeddingType' : 'outputTensorType'} (q4_k).`,
  )
}

function needsImatrix(name: string, to: GgmlTypeName, type: QuantizeType): boolean {
  return NEED_IMATRIX.includes(to) || (type === 'q2_k_s' && to === 'q2_k' && name.startsWith('blk.'))
}
