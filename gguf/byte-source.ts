import { type FileHandle, open, stat } from 'node:fs/promises'
import { Phi2Error } from '../src/errors.js'

/** Bytes that can be read at any place: a file here, or one behind HTTP. */
export interface ByteSource {
  /** What messages call it. */
  readonly name: string
  /** Of the whole. A server tells it with the first read, or never: then it stays undefined. */
  readonly size: number | undefined
  /** How much to read at first: what costs little. */
  readonly firstRead: number
  /** Fewer bytes than asked for where the source ends before. */
  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>
  close(): Promise<void>
}

/**
 * Opens a file for reading.
 * @throws {Phi2Error} `PHI2_MODEL_NOT_FOUND` when there is no such file, `PHI2_IO` when it cannot be read.
 */
export async function openFile(path: string): Promise<ByteSource & { readonly size: number }> {
  try {
    // Asked first: to open a named pipe would wait until somebody writes into it.
    const stats = await stat(path)
    if (stats.isFile()) return new FileSource(path, await open(path, 'r'), stats.size)
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    const message = missing ? `There is no file ${path}.` : `${path} cannot be opened: ${(cause as Error).message}`
    throw new Phi2Error(missing ? 'PHI2_MODEL_NOT_FOUND' : 'PHI2_IO', message, { cause })
  }
  throw new Phi2Error('PHI2_IO', `${path} is no regular file.`)
}

class FileSource implements ByteSource {
  readonly firstRead = 4 * 1024 * 1024

  constructor(
    readonly name: string,
    private readonly file: FileHandle,
    readonly size: number,
  ) {}

  async read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    signal?.throwIfAborted()
    const bytes = new Uint8Array(Math.max(0, Math.min(length, this.size - offset)))
    let filled = 0
    while (filled < bytes.length) {
      const { bytesRead } = await this.file
        .read(bytes, filled, bytes.length - filled, offset + filled)
        .catch((cause: Error) => {
          throw new Phi2Error('PHI2_IO', `${this.name} cannot be read: ${cause.message}`, { cause })
        })
      if (bytesRead === 0) break
      filled += bytesRead
    }
    return bytes.subarray(0, filled)
  }

  close(): Promise<void> {
    return this.file.close()
  }
}
