import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeAtomically } from './atomic-file.js'
import { invalidCheckpoint } from './checkpoint-json.js'
import { align } from './format.js'
import { DTYPE_BYTES, INDEX_NAME, SINGLE_NAME } from './safetensors.js'
import { type Pieces, writeAll, writePieces } from './write-pieces.js'

/** One tensor to write. Its data is asked for when its turn comes, piece by piece, so that memory stays small. */
export interface SafetensorsSource {
  name: string
  /** As the format spells it: `F32`, `F16`, `BF16` … */
  dtype: string
  /** PyTorch's order: the row length last. */
  shape: readonly number[]
  /** Exactly the bytes of the tensor. */
  data: () => Pieces
}

export interface WriteSafetensorsOptions {
  tensors: readonly SafetensorsSource[]
  signal?: AbortSignal | undefined
  /** 0 to 1, by bytes of tensor data. */
  onProgress?: ((fraction: number) => void) | undefined
}

/** The header ends, and so the data begins, at a multiple of this: JSON may be followed by spaces. */
const HEADER_ALIGNMENT = 8

/**
 * Writes one safetensors file, under a temporary name until it is complete, and gives its size in bytes. Tensors lie in
 * the file as the safetensors library places them, whatever their order here: the widest types first, then by name.
 *
 * @throws {Phi2Error} `PHI2_INVALID_CHECKPOINT` for an unknown dtype, a name that occurs twice, and data that is not as
 * long as the shape says; `PHI2_IO` or `PHI2_NO_SPACE` when it cannot be written. Aborting throws `signal.reason`.
 */
export async function writeSafetensors(path: string, options: WriteSafetensorsOptions): Promise<number> {
  const { signal, onProgress } = options
  const tensors = options.tensors.toSorted(byWidthAndName)
  const header = headerBytes(tensors)
  const total = totalBytes(tensors)
  return writeAtomically(path, async (temporaryPath) => {
    const file = await open(temporaryPath, 'wx')
    try {
      await writeAll(file, header)
      let done = 0
      for (const tensor of tensors) {
        const expected = byteLength(tensor)
        const onWritten = (bytes: number) => onProgress?.((done + bytes) / total)
        const written = await writePieces(file, tensor.data(), expected, onWritten, signal)
        if (written !== expected) {
          const found = written > expected ? 'more' : `only ${written}`
          throw invalidCheckpoint(`${tensor.name} takes ${expected} bytes, its data gives ${found}`)
        }
        done += written
      }
    } finally {
      await file.close()
    }
    return header.length + total
  })
}

export interface WriteShardsOptions extends WriteSafetensorsOptions {
  /** Most bytes of tensor data in one file; a larger tensor has a file of its own. */
  shardBytes: number
}

export interface WrittenShards {
  /** Their names in the folder, the index not included. */
  files: string[]
  /** Size of these files. */
  bytes: number
}

/**
 * Writes the weights of a checkpoint into a folder: `model.safetensors`, or where that would be too large several shards
 * and their index. Shards are cut as Transformers cuts them: tensors in the order given, as many as fit.
 *
 * @throws as {@link writeSafetensors}
 */
export async function writeShards(folder: string, options: WriteShardsOptions): Promise<WrittenShards> {
  const { tensors, shardBytes, signal, onProgress } = options
  const total = totalBytes(tensors)
  const shards = planShards(tensors, shardBytes)
  const files = shards.map((_, index) => shardName(index, shards.length))
  let done = 0
  let bytes = 0
  for (const [index, shard] of shards.entries()) {
    const share = totalBytes(shard)
    bytes += await writeSafetensors(join(folder, files[index]!), {
      tensors: shard,
      signal,
      onProgress: (fraction) => onProgress?.((done + fraction * share) / total),
    })
    done += share
  }
  if (shards.length > 1) await writeFile(join(folder, INDEX_NAME), indexJson(shards, files, total))
  return { files, bytes }
}

/** @internal Where a checkpoint is cut into files. */
export function planShards<T extends Pick<SafetensorsSource, 'name' | 'dtype' | 'shape'>>(
  tensors: readonly T[],
  shardBytes: number,
): T[][] {
  const shards: T[][] = [[]]
  let size = 0
  for (const tensor of tensors) {
    const bytes = byteLength(tensor)
    if (size > 0 && size + bytes > shardBytes) {
      shards.push([])
      size = 0
    }
    shards.at(-1)!.push(tensor)
    size += bytes
  }
  return shards
}

/** `model-00001-of-00002.safetensors` */
function shardName(index: number, count: number): string {
  if (count === 1) return SINGLE_NAME
  const digits = (value: number) => String(value).padStart(5, '0')
  return `model-${digits(index + 1)}-of-${digits(count)}.safetensors`
}

function indexJson(shards: readonly SafetensorsSource[][], files: readonly string[], total: number): string {
  const places = shards.flatMap((shard, index) => shard.map(({ name }) => [name, files[index]!] as const))
  const weightMap = Object.fromEntries(places.sort(([a], [b]) => compare(a, b)))
  return `${JSON.stringify({ metadata: { total_size: total }, weight_map: weightMap }, null, 2)}\n`
}

/** @internal The start of a file with these tensors, in this order. */
export function headerBytes(tensors: readonly Pick<SafetensorsSource, 'name' | 'dtype' | 'shape'>[]): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } }
  let offset = 0
  for (const tensor of tensors) {
    const { name, dtype, shape } = tensor
    if (Object.hasOwn(header, name)) throw invalidCheckpoint(`${name} occurs twice`)
    const end = offset + byteLength(tensor)
    header[name] = { dtype, shape, data_offsets: [offset, end] }
    offset = end
  }
  const json = Buffer.from(JSON.stringify(header))
  const bytes = Buffer.alloc(8 + align(json.length, HEADER_ALIGNMENT), ' ')
  bytes.writeBigUInt64LE(BigInt(bytes.length - 8))
  json.copy(bytes, 8)
  return bytes
}

function byWidthAndName(a: SafetensorsSource, b: SafetensorsSource): number {
  return widthOf(b) - widthOf(a) || compare(a.name, b.name)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : 1
}

function totalBytes(tensors: readonly SafetensorsSource[]): number {
  return tensors.reduce((sum, tensor) => sum + byteLength(tensor), 0)
}

function byteLength(tensor: Pick<SafetensorsSource, 'name' | 'dtype' | 'shape'>): number {
  return tensor.shape.reduce((product, length) => product * length, widthOf(tensor))
}

function widthOf({ name, dtype }: Pick<SafetensorsSource, 'name' | 'dtype'>): number {
  const width = DTYPE_BYTES[dtype]
  if (width === undefined) {
    throw invalidCheckpoint(`${name} has the type ${dtype}; expected one of ${Object.keys(DTYPE_BYTES).join(', ')}`)
  }
  return width
}
