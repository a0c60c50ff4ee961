import { type FileHandle, open } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { Phi2Error } from '../src/errors.js'
import {
  invalidCheckpoint,
  isIndex,
  isObject,
  type JsonObject,
  parseJsonObject,
  readJsonObject,
} from './checkpoint-json.js'

/** Limit of the safetensors format itself. */
const MAX_HEADER = 100_000_000
export const INDEX_NAME = 'model.safetensors.index.json'
export const SINGLE_NAME = 'model.safetensors'
/** A multiple of every dtype's width, so no value is cut in two. */
const PIECE_BYTES = 4 * 1024 * 1024

export const DTYPE_BYTES: { readonly [dtype: string]: number } = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
}

export interface SafetensorsTensor {
  name: string
  /** As stored: `F32`, `F16`, `BF16` … */
  dtype: string
  /** PyTorch's order: the row length last. */
  shape: readonly number[]
  path: string
  /** Where its data begins in the file. */
  offset: number
  byteLength: number
}

/**
 * Lists the tensors of a checkpoint folder: the shards of `model.safetensors.index.json`, else `model.safetensors`.
 * Only headers are read, and they are checked: sizes fit shapes and dtypes, and all data lies inside its file.
 *
 * @throws {Phi2Error} `PHI2_INVALID_CHECKPOINT` when files are missing, truncated or do not fit each other.
 */
export async function openSafetensors(folder: string): Promise<Map<string, SafetensorsTensor>> {
  const index = await readJsonObject(join(folder, INDEX_NAME))
  return index === undefined ? await readSingle(folder) : await readShards(folder, index)
}

async function readSingle(folder: string): Promise<Map<string, SafetensorsTensor>> {
  const tensors = await readTensorList(join(folder, SINGLE_NAME))
  if (tensors !== undefined) return tensors
  throw invalidCheckpoint(
    `${folder} holds neither ${SINGLE_NAME} nor ${INDEX_NAME}. Expected a folder with a model in safetensors format; ` +
      'other formats, such as pytorch_model.bin, must be saved as safetensors first.',
  )
}

async function readShards(folder: string, index: JsonObject): Promise<Map<string, SafetensorsTensor>> {
  const weightMap = index.weight_map
  if (!isObject(weightMap)) throw invalidCheckpoint(`${INDEX_NAME} has no weight_map`)
  const tensors = new Map<string, SafetensorsTensor>()
  const shards = new Map<string, Map<string, SafetensorsTensor>>()
  for (const [name, shardName] of Object.entries(weightMap)) {
    if (typeof shardName !== 'string' || !/^[\w.-]+\.safetensors$/.test(shardName)) {
      throw invalidCheckpoint(
        `${INDEX_NAME} names the shard ${JSON.stringify(shardName)} for ${name}; expected a plain file name`,
      )
    }
    const shard = shards.get(shardName) ?? (await readTensorList(join(folder, shardName)))
    if (shard === undefined) throw invalidCheckpoint(`${shardName}, named by ${INDEX_NAME}, is missing in ${folder}`)
    shards.set(shardName, shard)
    const tensor = shard.get(name)
    if (tensor === undefined)
      throw invalidCheckpoint(`${INDEX_NAME} places ${name} in ${shardName}, which does not hold it`)
    tensors.set(name, tensor)
  }
  return tensors
}

/** The tensors of one file, or undefined when there is no such file. */
async function readTensorList(path: string): Promise<Map<string, SafetensorsTensor> | undefined> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unreadable(path, cause)
  }
  try {
    const { size } = await file.stat()
    const header = await readHeaderBytes(file, path, size)
    return parseTensorList(path, header, size)
  } finally {
    await file.close()
  }
}

/** The file begins with the length of its JSON header as a uint64. */
async function readHeaderBytes(file: FileHandle, path: string, fileSize: number): Promise<Uint8Array> {
  const start = await readExactly(file, path, 0, Math.min(8, fileSize))
  if (start.length < 8) throw invalidCheckpoint(`${path} has only ${fileSize} bytes, which is no safetensors file`)
  const length = Number(new DataView(start.buffer).getBigUint64(0, true))
  if (length > MAX_HEADER || length > fileSize - 8) {
    throw invalidCheckpoint(
      `${path} claims a header of ${length} bytes but has ${fileSize} in all; ` +
        'it is no safetensors file or was not downloaded completely',
    )
  }
  return readExactly(file, path, 8, length)
}

function parseTensorList(path: string, header: Uint8Array, fileSize: number): Map<string, SafetensorsTensor> {
  const name = basename(path)
  const text = new TextDecoder().decode(header)
  const dataStart = 8 + header.length
  const tensors = new Map<string, SafetensorsTensor>()
  for (const [key, entry] of Object.entries(parseJsonObject(text, `the header of ${name}`))) {
    if (key === '__metadata__') continue
    const { dtype, shape, begin, end } = parseEntry(name, key, entry)
    if (dataStart + end > fileSize) {
      throw invalidCheckpoint(
        `${key} ends at byte ${dataStart + end} of ${name}, which has ${fileSize}; it was not downloaded completely`,
      )
    }
    tensors.set(key, { name: key, dtype, shape, path, offset: dataStart + begin, byteLength: end - begin })
  }
  return tensors
}

function parseEntry(file: string, key: string, entry: unknown) {
  const { dtype, shape, data_offsets: offsets } = isObject(entry) ? entry : {}
  if (typeof dtype !== 'string' || !Array.isArray(shape) || !shape.every(isIndex)) {
    throw invalidCheckpoint(`the header of ${file} gives no dtype and shape for ${key}`)
  }
  const [begin, end] = Array.isArray(offsets) ? (offsets as unknown[]) : []
  if (!isIndex(begin) || !isIndex(end) || end < begin) {
    throw invalidCheckpoint(`the header of ${file} gives no data_offsets for ${key}`)
  }
  const width = DTYPE_BYTES[dtype]
  const expected = shape.reduce((product: number, length: number) => product * length, width ?? 0)
  if (width !== undefined && expected !== end - begin) {
    throw invalidCheckpoint(
      `${key} in ${file} takes ${end - begin} bytes; ${dtype} of shape ${shape.join('×')} takes ${expected}`,
    )
  }
  return { dtype, shape: shape as readonly number[], begin, end }
}

/**
 * The raw bytes of a tensor in pieces of 4 MiB; every piece is a whole number of values. The same memory is used for
 * each piece, so it must be taken before the next one is asked for.
 * @throws {Phi2Error} `PHI2_INVALID_CHECKPOINT` when the file ends early.
 */
export async function* readTensor(tensor: SafetensorsTensor): AsyncGenerator<Uint8Array> {
  const file = await open(tensor.path, 'r').catch((cause) => {
    throw unreadable(tensor.path, cause)
  })
  try {
    const buffer = new Uint8Array(Math.min(PIECE_BYTES, tensor.byteLength))
    for (let done = 0; done < tensor.byteLength; done += buffer.length) {
      const piece = buffer.subarray(0, Math.min(buffer.length, tensor.byteLength - done))
      await fill(file, tensor.path, tensor.offset + done, piece)
      yield piece
    }
  } finally {
    await file.close()
  }
}

async function readExactly(
  file: FileHandle,
  path: string,
  position: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length)
  await fill(file, path, position, bytes)
  return bytes
}

async function fill(file: FileHandle, path: string, position: number, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesRead } = await file.read(bytes, done, bytes.length - done, position + done).catch((cause) => {
      throw unreadable(path, cause)
    })
    if (bytesRead === 0) throw invalidCheckpoint(`${path} ended while it was read`)
    done += bytesRead
  }
}

function unreadable(path: string, cause: unknown): Phi2Error {
  return new Phi2Error('PHI2_INVALID_CHECKPOINT', `${path} cannot be read: ${(cause as Error).message}`, { cause })
}
