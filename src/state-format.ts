import { createHash } from 'node:crypto'
import { Phi2Error } from './errors.js'
import { oneLine } from './printable.js'
import type { KvType } from './types.js'

// A state file holds the KV cells of a conversation, so that it need not be decoded again:
//
//   8 bytes   "phi2-kv\n"
//   4 bytes   version of the format
//   4 bytes   length of the description
//   …         description: JSON
//   4 bytes   for each token its id
//   32 bytes  for each piece the sha256 of its cells
//   …         pieces: the cells of PIECE_TOKENS tokens each, the last of the rest
//
// Numbers are little-endian. All but the pieces is the header, whose sha256 stands in the saved chat. So each piece is
// known to be right before the engine sees it, and a file is not held in memory as a whole. In a piece there is nothing
// but numbers of the model: what the engine wants to know about them is made anew from the description.

const MAGIC = Buffer.from('phi2-kv\n')
const VERSION = 1
const START = 16
const HASH = 32
const MAX_DESCRIPTION = 4096
/** 20 MB of a full-size Phi-2 with F16 cells: what is copied between two steps of the engine. */
export const PIECE_TOKENS = 64

/** Of which model, cache and engine the cells are: all of it must be the same where they are used. */
export interface StateOrigin {
  /** Names and versions. */
  engine: string
  /** Tells the contents of model files apart. */
  model: string
  kvType: KvType
  layers: number
  embeddingSize: number
}

export interface StateHeader extends StateOrigin {
  tokens: Int32Array
  /** The sha256 of each piece. */
  hashes: readonly Buffer[]
}

const kvBytes: Readonly<Record<KvType, number>> = { f16: 2, bf16: 2, f32: 4 }

/** Bytes of one token's cells: for each layer a row of keys and one of values. */
export function cellBytes({ layers, embeddingSize, kvType }: StateOrigin): number {
  return 2 * layers * embeddingSize * kvBytes[kvType]
}

/** Token ranges of the pieces. */
export function pieceRanges(tokens: number): { first: number; count: number }[] {
  return Array.from({ length: Math.ceil(tokens / PIECE_TOKENS) }, (_, index) => {
    const first = index * PIECE_TOKENS
    return { first, count: Math.min(PIECE_TOKENS, tokens - first) }
  })
}

/** Bytes that the header of so many tokens takes up; known before the hashes are. */
export function headerSize(origin: StateOrigin, tokens: number): number {
  return START + describe(origin, tokens).length + 4 * tokens + HASH * pieceRanges(tokens).length
}

export function encodeHeader({ tokens, hashes, ...origin }: StateHeader): Buffer {
  const description = describe(origin, tokens.length)
  const start = Buffer.alloc(START)
  MAGIC.copy(start)
  start.writeUInt32LE(VERSION, 8)
  start.writeUInt32LE(description.length, 12)
  const ids = Buffer.alloc(4 * tokens.length)
  for (const [index, token] of tokens.entries()) ids.writeInt32LE(token, 4 * index)
  return Buffer.concat([start, description, ids, ...hashes])
}

function describe({ engine, model, kvType, layers, embeddingSize }: StateOrigin, tokens: number): Buffer {
  return Buffer.from(JSON.stringify({ engine, model, kvType, layers, embeddingSize, tokens }))
}

/**
 * The header of a file of `fileSize` bytes, of which `read` gives a part. Every length is checked before anything of that
 * length is read.
 * @throws {Phi2Error} `PHI2_INVALID_STATE`
 */
export async function readHeader(
  fileSize: number,
  read: (offset: number, length: number) => Promise<Buffer>,
): Promise<{ header: StateHeader; size: number; sha256: string }> {
  if (fileSize < START) throw damaged(`it has only ${fileSize} bytes`)
  const start = await read(0, START)
  if (!start.subarray(0, 8).equals(MAGIC)) throw damaged('it is no file of the kind that chat.save({ state }) writes')
  const version = start.readUInt32LE(8)
  if (version !== VERSION) throw damaged(`its format has version ${version}, and only ${VERSION} can be read`)
  const length = start.readUInt32LE(12)
  if (length > Math.min(MAX_DESCRIPTION, fileSize - START)) throw damaged(`its description would have ${length} bytes`)
  const description = await read(START, length)
  const { tokens: count, ...origin } = parseDescription(description)
  const pieces = pieceRanges(count).length
  const size = START + length + 4 * count + HASH * pieces
  const expected = size + count * cellBytes(origin)
  if (fileSize !== expected) throw damaged(`it has ${fileSize} bytes instead of ${expected}`)

  const rest = await read(START + length, 4 * count + HASH * pieces)
  const tokens = Int32Array.from({ length: count }, (_, index) => rest.readInt32LE(4 * index))
  const hashes = Array.from({ length: pieces }, (_, index) => rest.subarray(4 * count + HASH * index).subarray(0, HASH))
  const sha256 = createHash('sha256').update(start).update(description).update(rest).digest('hex')
  return { header: { ...origin, tokens, hashes }, size, sha256 }
}

const MAX_TOKENS = 1 << 20

function parseDescription(bytes: Buffer): StateOrigin & { tokens: number } {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString())
  } catch {
    throw damaged('its description is no JSON')
  }
  const { engine, model, kvType, layers, embeddingSize, tokens } = Object(value) as Record<string, unknown>
  const isText = (text: unknown): text is string => typeof text === 'string'
  const isCount = (count: unknown, most: number): count is number =>
    Number.isInteger(count) && (count as number) > 0 && (count as number) <= most
  const isSound =
    isText(engine) &&
    isText(model) &&
    isText(kvType) &&
    Object.hasOwn(kvBytes, kvType) &&
    isCount(layers, 1 << 16) &&
    isCount(embeddingSize, 1 << 20) &&
    isCount(tokens, MAX_TOKENS)
  if (!isSound) throw damaged('its description lacks something')
  return { engine, model, kvType: kvType as KvType, layers, embeddingSize, tokens }
}

/**
 * Refuses the cells of another model, cache, engine or text.
 * @throws {Phi2Error} `PHI2_INVALID_STATE`
 */
export function checkOrigin(found: StateOrigin, expected: StateOrigin): void {
  const { engine, kvType, model, layers, embeddingSize } = expected
  if (found.layers !== layers || found.embeddingSize !== embeddingSize || found.model !== model) {
    throw damaged('it was saved with another model file')
  }
  if (found.kvType !== kvType) {
    throw damaged(`it was saved with the kvType ${found.kvType}, and the model is loaded with ${kvType}`)
  }
  if (found.engine !== engine) throw damaged(`it was saved by ${oneLine(found.engine)}, and this is ${engine}`)
}

function damaged(reason: string): Phi2Error {
  return new Phi2Error('PHI2_INVALID_STATE', reason)
}
