import { Phi2Error } from '../src/errors.js'
import { openFile } from './byte-source.js'
import type { GgufHeader, GgufTensorInfo } from './format.js'
import { readHeader } from './read.js'
import { type GgufTensor, writeGguf } from './write.js'

/**
 * Importance matrices on disk, in the two forms of llama.cpp: a GGUF file (`tools/imatrix`, since 2025) and the binary
 * `.dat` before it. This file is the one place that knows their layout.
 */

/** What was seen of one matrix of the model. */
export interface ImatrixEntry {
  /** Sums of the squares of its inputs, one for each column; several matrices (experts) one after the other. */
  sums: Float32Array
  /** How many rows of input went into the sums of each matrix. */
  counts: Float32Array
}

export interface Imatrix {
  /** The texts it was computed from, as their names were given. */
  datasets: string[]
  chunkCount: number
  /** Tokens of a chunk; 0 in a `.dat`, which does not say. */
  chunkSize: number
  /** Under the names of the model's matrices, such as `blk.0.ffn_up.weight`. */
  entries: Map<string, ImatrixEntry>
}

const SUMS = '.in_sum2'
const COUNTS = '.counts'
const KEYS = {
  datasets: 'imatrix.datasets',
  chunkCount: 'imatrix.chunk_count',
  chunkSize: 'imatrix.chunk_size',
} as const

/** The matrix of a Phi-2 takes 3 MB. Nothing much larger is read: this bounds the memory a wrong file can ask for. */
const MAX_BYTES = 256 * 1024 * 1024

/** Mean squares of a working model stay far below; beyond it, sums in single precision overflow in the quantizer. */
const MAX_MEAN = 1e12

/**
 * Reads an importance matrix in either form and checks every number in it.
 *
 * @throws {Phi2Error} `PHI2_INVALID_IMATRIX` when there is no such file, it is none, or it is damaged.
 */
export async function readImatrix(path: string): Promise<Imatrix> {
  const bytes = await readAll(path)
  const isGguf = bytes.subarray(0, 4).toString('latin1') === 'GGUF'
  const imatrix = isGguf ? readGguf(bytes, await headerOf(path), path) : readLegacy(bytes, path)
  if (imatrix.entries.size === 0) throw invalidImatrix(path, 'it is empty')
  for (const [name, entry] of imatrix.entries) checkNumbers(path, name, entry)
  return imatrix
}

async function readAll(path: string): Promise<Buffer> {
  const file = await openFile(path).catch((cause: Error) => {
    throw invalidImatrix(path, cause.message, cause)
  })
  try {
    if (file.size > MAX_BYTES) throw invalidImatrix(path, `with ${file.size} bytes it is far too large for one`)
    const { buffer, byteOffset, byteLength } = await file.read(0, file.size)
    return Buffer.from(buffer, byteOffset, byteLength)
  } finally {
    await file.close()
  }
}

/**
 * Writes an importance matrix in the GGUF form, to the byte as llama.cpp's own tool does, and gives the file's size.
 *
 * @throws {Phi2Error} `PHI2_IO` when the file cannot be written.
 */
export async function writeImatrix(path: string, imatrix: Imatrix): Promise<number> {
  const { datasets, chunkCount, chunkSize, entries } = imatrix
  const names = [...entries.keys()].sort()
  return writeGguf(path, {
    metadata: new Map([
      ['general.type', { type: 'string', value: 'imatrix' }],
      [KEYS.datasets, { type: 'array', of: 'string', value: datasets }],
      [KEYS.chunkCount, { type: 'uint32', value: chunkCount }],
      [KEYS.chunkSize, { type: 'uint32', value: chunkSize }],
    ]),
    tensors: names.flatMap((name) => {
      const { sums, counts } = entries.get(name)!
      return [floats(name + SUMS, sums, sums.length / counts.length), floats(name + COUNTS, counts, 1)]
    }),
  })
}

function floats(name: string, values: Float32Array, rowLength: number): GgufTensor {
  const rows = values.length / rowLength
  const data = () => [new Uint8Array(values.buffer, values.byteOffset, values.byteLength)]
  return { name, type: 'f32', shape: rows === 1 ? [rowLength] : [rowLength, rows], data }
}

/** What the quantizer weighs the columns of a matrix with: the mean squares. Where nothing was seen, all count alike. */
export function meanSquares({ sums, counts }: ImatrixEntry): Float32Array {
  const rowLength = sums.length / counts.length
  return sums.map((sum, index) => {
    const count = counts[Math.floor(index / rowLength)]!
    return count > 0 ? sum / count : 1
  })
}

async function headerOf(path: string): Promise<GgufHeader> {
  try {
    return await readHeader(path)
  } catch (error) {
    throw error instanceof Phi2Error ? invalidImatrix(path, error.message, error) : error
  }
}

function readGguf(bytes: Buffer, header: GgufHeader, path: string): Imatrix {
  const { metadata, tensors } = header
  const tensorOf = new Map(tensors.map((tensor) => [tensor.name, tensor]))
  const sums = tensors.filter(({ name }) => name.endsWith(SUMS))
  if (sums.length === 0 || sums.length * 2 !== tensors.length) {
    throw invalidImatrix(path, 'it is another GGUF file: an importance matrix has two tensors for each matrix')
  }
  const datasets = metadata.get(KEYS.datasets)
  const chunkCount = metadata.get(KEYS.chunkCount)
  const chunkSize = metadata.get(KEYS.chunkSize)
  if (
    datasets?.type !== 'array' ||
    datasets.of !== 'string' ||
    chunkCount?.type !== 'uint32' ||
    chunkSize?.type !== 'uint32'
  ) {
    throw invalidImatrix(path, `it lacks ${Object.values(KEYS).join(', ')} or has them in other types`)
  }
  const entries = new Map<string, ImatrixEntry>()
  for (const tensor of sums) {
    const name = tensor.name.slice(0, -SUMS.length)
    const counts = tensorOf.get(name + COUNTS)
    if (counts === undefined) throw invalidImatrix(path, `${name} has sums but no counts`)
    entries.set(name, {
      sums: tensorData(bytes, header, tensor, path),
      counts: tensorData(bytes, header, counts, path),
    })
  }
  return { datasets: [...datasets.value], chunkCount: chunkCount.value, chunkSize: chunkSize.value, entries }
}

function tensorData(bytes: Buffer, { dataOffset }: GgufHeader, tensor: GgufTensorInfo, path: string): Float32Array {
  const { name, type, offset, byteLength } = tensor
  if (type !== 'f32') throw invalidImatrix(path, `${name} is of type ${type}, expected f32`)
  const start = dataOffset + offset
  // the file may have changed since its header was read
  if (start + byteLength > bytes.length) throw invalidImatrix(path, `it ends inside ${name}`)
  return copyFloats(bytes, start, byteLength / 4)
}

/** Counts and sums in one: a value is the mean of the squares times the number of calls. */
function readLegacy(bytes: Buffer, path: string): Imatrix {
  const cursor = new LegacyCursor(bytes, path)
  const entryCount = cursor.count('entries')
  const entries = new Map<string, ImatrixEntry>()
  for (let index = 0; index < entryCount; index++) {
    const name = cursor.text('name')
    const calls = cursor.int32()
    const sums = cursor.floats(cursor.count(`values of ${JSON.stringify(name)}`))
    if (entries.has(name)) throw invalidImatrix(path, `${JSON.stringify(name)} occurs twice`)
    // llama.cpp takes the values as they are where the number of calls is missing
    entries.set(name, { sums, counts: Float32Array.of(Math.max(1, calls)) })
  }
  // the end was added later: chunks, and the name of the text
  const chunkCount = cursor.atEnd ? 0 : Math.max(0, cursor.int32())
  const dataset = cursor.atEnd ? '' : cursor.text('dataset')
  return { datasets: dataset === '' ? [] : [dataset], chunkCount, chunkSize: 0, entries }
}

/** Reads the `.dat` form. Every length is checked against what is left. */
class LegacyCursor {
  private position = 0

  constructor(
    private readonly bytes: Buffer,
    private readonly path: string,
  ) {}

  get atEnd(): boolean {
    return this.position === this.bytes.length
  }

  int32(): number {
    return this.bytes.readInt32LE(this.advance(4))
  }

  /** Of things that take at least four bytes each. */
  count(what: string): number {
    const count = this.int32()
    if (count >= 1 && count <= (this.bytes.length - this.position) / 4) return count
    throw invalidImatrix(this.path, `it claims ${count} ${what}, which cannot be`)
  }

  text(what: string): string {
    const length = this.int32()
    if (length < 0) throw invalidImatrix(this.path, `a ${what} has ${length} bytes, which cannot be`)
    const start = this.advance(length)
    return this.bytes.toString('utf8', start, start + length)
  }

  floats(count: number): Float32Array {
    return copyFloats(this.bytes, this.advance(count * 4), count)
  }

  private advance(length: number): number {
    const start = this.position
    if (start + length > this.bytes.length) throw invalidImatrix(this.path, 'it is none, or it is cut off')
    this.position = start + length
    return start
  }
}

/** A copy: in the file they need not lie at a multiple of four. */
function copyFloats(bytes: Buffer, start: number, count: number): Float32Array {
  const copy = new Uint8Array(count * 4)
  copy.set(bytes.subarray(start, start + count * 4))
  return new Float32Array(copy.buffer)
}

function checkNumbers(path: string, name: string, { sums, counts }: ImatrixEntry): void {
  if (counts.length === 0 || sums.length === 0 || sums.length % counts.length !== 0) {
    throw invalidImatrix(path, `${name} has ${sums.length} sums for ${counts.length} counts`)
  }
  const badCount = counts.find((count) => !(count >= 0 && Number.isFinite(count)))
  if (badCount !== undefined) throw invalidImatrix(path, `${name} has the count ${badCount}`)
  const rowLength = sums.length / counts.length
  for (let index = 0; index < sums.length; index++) {
    const sum = sums[index]!
    const limit = MAX_MEAN * Math.max(1, counts[Math.floor(index / rowLength)]!)
    if (!(sum >= 0 && sum <= limit)) {
      throw invalidImatrix(path, `${name} has the sum ${sum}; sums of squares are finite and not negative`)
    }
  }
}

/** @internal */
export function invalidImatrix(path: string, found: string, cause?: unknown): Phi2Error {
  return new Phi2Error(
    'PHI2_INVALID_IMATRIX',
    `${path} is no importance matrix that can be used: ${found.replace(/\.$/, '')}. \`phi2 imatrix\` computes one.`,
    { cause },
  )
}
