import { createHash } from 'node:crypto'
import { constants, type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { writeAtomically } from '../gguf/atomic-file.js'
import { checkFreeSpace } from '../gguf/free-space.js'
import type { Dispatcher } from './dispatcher.js'
import { nativeError, Phi2Error } from './errors.js'
import { evaluate } from './evaluate.js'
import type { ModelFile } from './model-file.js'
import { loadAddon, type NativeEngine } from './native.js'
import { guarded, settle, waitFor } from './native-task.js'
import {
  cellBytes,
  checkOrigin,
  encodeHeader,
  headerSize,
  pieceRanges,
  readHeader,
  type StateHeader,
  type StateOrigin,
} from './state-format.js'
import type { ModelInfo, SavedState } from './types.js'

export interface StateContext {
  engine: NativeEngine
  dispatcher: Dispatcher
  info: Pick<ModelInfo, 'embeddingSize' | 'kvType' | 'layers' | 'sequenceSize'>
  modelFile: ModelFile
}

export interface TransferOptions {
  signal?: AbortSignal | undefined
  onProgress?: ((fraction: number) => void) | undefined
}

/** Bytes read, hashed and written at once on the main thread: a millisecond of hashing at most. */
const SLICE = 1 << 20
/** How often cells are decoded again because other answers took their place. */
const ATTEMPTS = 3

/**
 * Writes the KV cells of these tokens to a file. Those that are not cached are decoded.
 * @throws {Phi2Error} `PHI2_NO_SPACE`, `PHI2_IO`, `PHI2_BUSY`, `PHI2_CLOSED`; `signal.reason` when aborted.
 */
export async function writeState(
  context: StateContext,
  tokens: Int32Array,
  path: string,
  { signal, onProgress }: TransferOptions,
): Promise<Omit<SavedState, 'droppedTurns'>> {
  const origin = await originOf(context, signal)
  const headerBytes = headerSize(origin, tokens.length)
  const bytes = headerBytes + tokens.length * cellBytes(origin)
  await checkFreeSpace(dirname(path), bytes, `Saving the state of ${tokens.length} tokens`)
  signal?.throwIfAborted()
  const header = await writeAtomically(path, async (temporaryPath) => {
    const file = await open(temporaryPath, 'wx')
    try {
      const hashes: Buffer[] = []
      let position = headerBytes
      for await (const cells of cachedCells(context, tokens, signal)) {
        const hash = createHash('sha256')
        for (const slice of slices(cells)) {
          signal?.throwIfAborted()
          hash.update(slice)
          await writeAt(file, slice, position)
          position += slice.length
          guarded(() => onProgress?.(position / bytes))
        }
        hashes.push(hash.digest())
      }
      const encoded = encodeHeader({ ...origin, tokens, hashes })
      await writeAt(file, encoded, 0)
      return encoded
    } finally {
      await file.close()
    }
  })
  return { file: path, tokens: tokens.length, bytes, sha256: createHash('sha256').update(header).digest('hex') }
}

/** The pieces, each read while the one before is taken care of. */
async function* cachedCells(
  context: StateContext,
  tokens: Int32Array,
  signal: AbortSignal | undefined,
): AsyncIterable<Uint8Array> {
  const { engine } = context
  const ranges = pieceRanges(tokens.length)
  let attempts = 0
  const decode = async (): Promise<void> => {
    if (attempts++ === ATTEMPTS) {
      throw new Phi2Error(
        'PHI2_BUSY',
        'Other answers keep taking the place of this chat in the KV cache. Save it later.',
      )
    }
    await evaluate(engine, context.dispatcher, tokens, { cached: true, signal })
  }
  const read = async (index: number, into: Uint8Array): Promise<Uint8Array | undefined> => {
    const range = ranges[index]
    if (range === undefined) return undefined
    const cells = into.subarray(0, range.count * engine.cellBytes)
    while (!(await engine.readCells(tokens, range.first, cells).catch(rethrow))) await decode()
    return cells
  }
  if ((await engine.cachedPrefix(tokens).catch(rethrow)) < tokens.length) await decode()
  const buffers = [0, 1].map(() => new Uint8Array(ranges[0]!.count * engine.cellBytes))
  let next = read(0, buffers[0]!)
  for (let index = 0; index < ranges.length; index++) {
    const cells = (await next)!
    next = read(index + 1, buffers[(index + 1) % 2]!)
    next.catch(() => {}) // whoever takes this piece may fail first
    yield cells
  }
}

/**
 * Brings back the cells that {@link writeState} wrote, unless they are cached. What came before a failure stays in the
 * cache, since every piece is checked on its own: `restored` says how far that is.
 * @throws {Phi2Error} `PHI2_INVALID_STATE` when they are not those of these tokens on this model or the file is damaged,
 * `PHI2_CONTEXT_FULL`, `PHI2_IO`, `PHI2_BUSY`, `PHI2_CLOSED`; `signal.reason` when aborted.
 */
export async function readState(
  context: StateContext,
  tokens: Int32Array,
  state: SavedState,
  { signal, onProgress }: TransferOptions,
  restored: { tokens: number },
): Promise<void> {
  const { engine } = context
  signal?.throwIfAborted()
  const file = await openState(state.file)
  let written = Promise.resolve()
  try {
    const { size: fileSize } = await file.stat()
    const read = (offset: number, length: number): Promise<Buffer> => readAt(file, offset, length, signal)
    const { header, size, sha256 } = await readHeader(fileSize, read)
    await check(context, header, sha256, tokens, state, signal)
    restored.tokens = await engine.cachedPrefix(tokens)
    if (restored.tokens === tokens.length) return

    const pieces = pieceRanges(tokens.length).map((range, index) => ({ ...range, hash: header.hashes[index]! }))
    const bytes = Math.max(...pieces.map(({ count }) => count)) * engine.cellBytes
    const buffers = [0, 1].map(() => new Uint8Array(bytes))
    const missing = pieces.filter(({ first, count }) => first + count > restored.tokens)
    for (const [index, { first, count, hash }] of missing.entries()) {
      const cells = buffers[index % 2]!.subarray(0, count * engine.cellBytes)
      await readPiece(file, size + first * engine.cellBytes, cells, hash, signal)
      await written
      written = writeCells(context, tokens, first, cells, signal).then(() => {
        restored.tokens = first + count
        guarded(() => onProgress?.(restored.tokens / tokens.length))
      })
      written.catch(() => {}) // the next piece may fail first
    }
    await written
  } catch (error) {
    // What is on its way into the cache counts, too.
    await written.catch(() => {})
    throw signal?.aborted ? signal.reason : named(state.file, nativeError(error))
  } finally {
    await file.close()
  }
}

async function check(
  context: StateContext,
  header: StateHeader,
  sha256: string,
  tokens: Int32Array,
  state: SavedState,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { sequenceSize } = context.info
  if (sha256 !== state.sha256) throw invalid('it is not the one that was written with this chat')
  checkOrigin(header, await originOf(context, signal))
  if (!Buffer.from(header.tokens.buffer).equals(Buffer.from(tokens.buffer, tokens.byteOffset, tokens.byteLength))) {
    throw invalid('it is of another text than this chat’s')
  }
  if (tokens.length > sequenceSize) {
    throw new Phi2Error(
      'PHI2_CONTEXT_FULL',
      `it has ${tokens.length} tokens but a sequence holds at most ${sequenceSize}. Load the model with a larger contextSize.`,
    )
  }
}

async function readPiece(
  file: FileHandle,
  position: number,
  into: Uint8Array,
  expected: Buffer,
  signal: AbortSignal | undefined,
): Promise<void> {
  const hash = createHash('sha256')
  let done = 0
  for (const slice of slices(into)) {
    await fill(file, slice, position + done, signal)
    hash.update(slice)
    done += slice.length
  }
  if (!hash.digest().equals(expected)) throw invalid('it is damaged: the hash of its cells differs')
}

async function writeCells(
  { engine }: StateContext,
  tokens: Int32Array,
  first: number,
  cells: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (await settle(engine.writeCells(tokens, first, cells), signal)) return
  throw new Phi2Error('PHI2_BUSY', 'other answers took its place in the KV cache')
}

async function originOf({ info, modelFile }: StateContext, signal: AbortSignal | undefined): Promise<StateOrigin> {
  const { llama, ggml } = loadAddon().versions
  const { kvType, layers, embeddingSize } = info
  const model = await waitFor(modelFile.hash(), signal)
  return { engine: `llama.cpp ${llama}, ggml ${ggml}`, model, kvType, layers, embeddingSize }
}

async function openState(path: string): Promise<FileHandle> {
  try {
    // A named pipe would have it wait until somebody writes.
    const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    if ((await file.stat()).isFile()) return file
    await file.close()
  } catch (cause) {
    throw unreadable(path, cause)
  }
  throw new Phi2Error('PHI2_IO', `The saved state ${path} is no regular file.`)
}

async function readAt(
  file: FileHandle,
  offset: number,
  length: number,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  await fill(file, bytes, offset, signal)
  return bytes
}

async function fill(
  file: FileHandle,
  bytes: Uint8Array,
  position: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  let done = 0
  while (done < bytes.length) {
    signal?.throwIfAborted()
    const { bytesRead } = await file.read(bytes, done, bytes.length - done, position + done)
    if (bytesRead === 0) throw invalid('it became shorter while it was read')
    done += bytesRead
  }
}

async function writeAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0
  while (done < bytes.length) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten
  }
}

function* slices(bytes: Uint8Array): Iterable<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += SLICE) yield bytes.subarray(offset, offset + SLICE)
}

function invalid(reason: string): Phi2Error {
  return new Phi2Error('PHI2_INVALID_STATE', reason)
}

/** The reasons above leave out which file they are about. */
function named(path: string, error: unknown): unknown {
  if (error instanceof Phi2Error && error.code !== 'PHI2_CLOSED') {
    return new Phi2Error(error.code, `The saved state ${path} was not used: ${error.message}`, { cause: error.cause })
  }
  const isSystems = error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string'
  return isSystems ? unreadable(path, error) : error
}

function unreadable(path: string, cause: unknown): Phi2Error {
  return new Phi2Error('PHI2_IO', `The saved state ${path} cannot be read: ${(cause as Error).message}`, { cause })
}

function rethrow(error: unknown): never {
  throw nativeError(error)
}
