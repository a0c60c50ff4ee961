import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { withTemporaryFile } from './atomic-file.js'
import { invalidCheckpoint } from './checkpoint-json.js'
import { checkChoice, checkText } from './checks.js'
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from './half.js'
import { modelMetadata, tokenizerMetadata } from './metadata.js'
import { readModelCard } from './model-card.js'
import { readModelConfig } from './model-config.js'
import { quantize } from './quantize.js'
import { openSafetensors, readTensor, type SafetensorsTensor } from './safetensors.js'
import { type FloatType, type MatchedTensor, matchTensors, planTensors, tensorType } from './tensor-map.js'
import { readTokenizerFiles } from './tokenizer-files.js'
import { type GgufTensor, writeGguf } from './write.js'

export const OUT_TYPES = ['auto', 'f32', 'f16', 'bf16', 'q8_0'] as const
export type OutType = (typeof OUT_TYPES)[number]

export interface ConvertOptions {
  /** Folder of a Phi-2 checkpoint: config.json, tokenizer files and safetensors, as on Hugging Face. */
  from: string
  /** The GGUF file to write; its folder must exist. An older file is replaced once the new one is complete. */
  to: string
  /**
   * Type of the matrices; vectors stay F32. `'auto'` is BF16 for a checkpoint in BF16 and F16 for all others. `'q8_0'`
   * needs the native addon and, for a while, room for an unquantized file beside `to`.
   * @default 'auto'
   */
  outtype?: OutType | undefined
  /** `general.name`. @default the name of the folder */
  name?: string | undefined
  /** `general.license`, an SPDX id in lower case such as `mit`. @default what README.md in the folder says */
  license?: string | undefined
  /** Aborting throws `signal.reason` and leaves nothing behind. Quantizing itself cannot be interrupted. */
  signal?: AbortSignal | undefined
  /** 0 to 1. */
  onProgress?: ((fraction: number) => void) | undefined
}

export interface ConvertResult {
  path: string
  /** What `'auto'` came to. */
  outtype: Exclude<OutType, 'auto'>
  /** Count of tensors: 453 for Phi-2. */
  tensors: number
  /** Count of weights: 2,779,683,840 for Phi-2. */
  parameters: number
  /** Size of the file. */
  bytes: number
}

/**
 * Converts a Phi-2 checkpoint in safetensors format to a GGUF file. Weights stream through: a few tens of megabytes of
 * memory are enough for any size. Keys, names and types are those of llama.cpp's own converter.
 *
 * @example
 * await convert({ from: './phi-2', to: './phi-2-f16.gguf', outtype: 'f16' })
 *
 * @throws {Phi2Error} `PHI2_INVALID_CHECKPOINT` when the folder is no complete checkpoint or a weight does not fit into
 * half precision, `PHI2_NOT_PHI2` for another architecture, `PHI2_IO` when the file cannot be written; for `'q8_0'`
 * also those of {@link quantize}. A TypeError or RangeError with `PHI2_INVALID_OPTION` for wrong options.
 */
export async function convert(options: ConvertOptions): Promise<ConvertResult> {
  const { from, to, outtype = 'auto', signal, onProgress } = options
  checkText('from', from)
  checkText('to', to)
  checkChoice('outtype', outtype, OUT_TYPES)
  signal?.throwIfAborted()
  const model = await readCheckpoint(options)
  if (outtype !== 'q8_0') return writeModel(model, { ...options, outtype: floatType(outtype, model) })

  return withTemporaryFile(to, async (unquantized) => {
    // in the checkpoint's own type, so that the weights are rounded once only
    const converted = await writeModel(model, {
      to: unquantized,
      outtype: storedType(model),
      signal,
      onProgress: (fraction) => onProgress?.(fraction / 2),
    })
    signal?.throwIfAborted()
    const { bytes } = await quantize({ from: unquantized, to, type: 'q8_0' })
    onProgress?.(1)
    return { ...converted, path: to, outtype, bytes }
  })
}

type Checkpoint = Awaited<ReturnType<typeof readCheckpoint>>

async function readCheckpoint({ from, name, license }: ConvertOptions) {
  if (!(await isFolder(from))) {
    throw invalidCheckpoint(`There is no folder ${from}. Expected the folder of a Phi-2 checkpoint as on Hugging Face.`)
  }
  const config = await readModelConfig(from)
  const tokenizer = tokenizerMetadata(await readTokenizerFiles(from), config)
  const tensors = matchTensors(planTensors(config), await openSafetensors(from))
  const card = await readModelCard(from)
  return {
    config,
    tokenizer,
    tensors,
    parameters: tensors.reduce((sum, { shape }) => sum + shape.reduce((product, length) => product * length, 1), 0),
    info: { ...card, name: name ?? basename(resolve(from)), ...(license !== undefined && { license }) },
  }
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false
}

const STORED_TYPES: { readonly [dtype: string]: FloatType } = { F32: 'f32', F16: 'f16', BF16: 'bf16' }

/** The type of the checkpoint's first matrix; config.json's `torch_dtype` is not to be relied on. */
function storedType({ tensors }: Checkpoint): FloatType {
  return STORED_TYPES[tensors.find(({ shape }) => shape.length > 1)!.source.dtype]!
}

function floatType(outtype: Exclude<OutType, 'q8_0'>, model: Checkpoint): FloatType {
  if (outtype !== 'auto') return outtype
  return storedType(model) === 'bf16' ? 'bf16' : 'f16'
}

interface WriteModelOptions extends Pick<ConvertOptions, 'to' | 'signal' | 'onProgress'> {
  outtype: FloatType
}

async function writeModel(model: Checkpoint, options: WriteModelOptions): Promise<ConvertResult> {
  const { to, outtype, signal, onProgress } = options
  const { config, info, parameters, tokenizer } = model
  const metadata = new Map([...modelMetadata(config, { ...info, parameters, fileType: outtype }), ...tokenizer])
  const tensors = model.tensors.map((tensor) => toGguf(tensor, outtype))
  const bytes = await writeGguf(to, { metadata, tensors, signal, onProgress })
  return { path: to, outtype, tensors: tensors.length, parameters, bytes }
}

function toGguf(tensor: MatchedTensor, outtype: FloatType): GgufTensor {
  const type = tensorType(outtype, tensor)
  return { name: tensor.name, type, shape: tensor.shape, data: () => convertData(tensor.source, type) }
}

async function* convertData(source: SafetensorsTensor, type: FloatType): AsyncGenerator<Uint8Array> {
  const stored = STORED_TYPES[source.dtype]!
  for await (const piece of readTensor(source)) {
    yield stored === type ? piece : convertPiece(piece, stored, type, source.name)
  }
}

function convertPiece(piece: Uint8Array, from: FloatType, to: FloatType, name: string): Uint8Array {
  const floats =
    from === 'f32' ? new Float32Array(piece.buffer, piece.byteOffset, piece.length / 4) : widen(piece, from)
  if (to === 'f32') return new Uint8Array(floats.buffer)
  const halves = new Uint16Array(floats.length)
  const overflows = to === 'f16' ? f32ToF16(floats, halves) : f32ToBf16(floats, halves)
  if (overflows > 0) {
    throw invalidCheckpoint(
      `${overflows} or more weights of ${name} are too large for ${to}; use outtype f32${to === 'f16' ? ' or bf16' : ''}`,
    )
  }
  return new Uint8Array(halves.buffer)
}

function widen(piece: Uint8Array, from: 'f16' | 'bf16'): Float32Array {
  const halves = new Uint16Array(piece.buffer, piece.byteOffset, piece.length / 2)
  const floats = new Float32Array(halves.length)
  if (from === 'f16') f16ToF32(halves, floats)
  else bf16ToF32(halves, floats)
  return floats
}
