import { type FileHandle, open } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import { Phi2Error } from '../src/errors.js'
import { type GgufValue, sumBytes } from './format.js'
import { readHeader } from './read.js'
import type { GgufTensor, WriteGgufOptions } from './write.js'

/**
 * Reads a GGUF file that was just written and compares it with what was to be written: keys, tensors and their places,
 * and every byte of data, which is asked for once more.
 *
 * @throws {Phi2Error} `PHI2_IO` naming the first difference. Aborting throws `signal.reason`.
 */
export async function verifyGguf(path: string, options: WriteGgufOptions): Promise<void> {
  const { metadata, tensors, signal, onProgress } = options
  const header = await readHeader(path).catch((cause: Error) => {
    throw different(`its header cannot be read: ${cause.message}`, cause)
  })
  const entries = [...metadata].map(([key, value]) => [key, asStored(value)])
  if (!isDeepStrictEqual([...header.metadata], entries)) throw different('its keys are not those written')
  const found = header.tensors.map(({ name, type, shape }) => ({ name, type, shape }))
  if (
    !isDeepStrictEqual(
      found,
      tensors.map(({ name, type, shape }) => ({ name, type, shape })),
    )
  ) {
    throw different('its tensors are not those written')
  }
  const total = sumBytes(header.tensors)
  let done = 0
  const file = await open(path, 'r')
  try {
    for (const [index, tensor] of tensors.entries()) {
      const start = header.dataOffset + header.tensors[index]!.offset
      await compareData(file, start, tensor, (bytes) => {
        signal?.throwIfAborted()
        done += bytes
        onProgress?.(done / total)
      })
    }
  } finally {
    await file.close()
  }
}

async function compareData(
  file: FileHandle,
  start: number,
  tensor: GgufTensor,
  onBytes: (count: number) => void,
): Promise<void> {
  let buffer = Buffer.alloc(0)
  let at = start
  for await (const piece of tensor.data()) {
    if (buffer.length < piece.length) buffer = Buffer.alloc(piece.length)
    const { bytesRead } = await file.read(buffer, 0, piece.length, at)
    if (bytesRead !== piece.length || buffer.compare(piece, 0, piece.length, 0, piece.length) !== 0) {
      throw different(`the data of ${tensor.name} is not what was written`)
    }
    at += piece.length
    onBytes(piece.length)
  }
}

/** A float32 comes back rounded, and half of a surrogate pair, which JSON can hold, as U+FFFD. */
function asStored(value: GgufValue): GgufValue {
  if (value.type === 'float32') return { type: 'float32', value: Math.fround(value.value) }
  if (value.type === 'string') return { type: 'string', value: toWellFormed(value.value) }
  if (value.type !== 'array') return value
  if (value.of === 'float32') return { ...value, value: value.value.map(Math.fround) }
  return value.of === 'string' ? { ...value, value: value.value.map(toWellFormed) } : value
}

function toWellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd')
}

function different(found: string, cause?: Error): Phi2Error {
  return new Phi2Error(
    'PHI2_IO',
    `The new file was read back, and ${found}. It was not kept; the disk or the memory may be faulty.`,
    cause && { cause },
  )
}
