import type { FileHandle } from 'node:fs/promises'

/** Data that is made or read as it is written. A piece may be reused for the next one once it was taken. */
export type Pieces = Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/**
 * Writes pieces one after the other and gives how many bytes they held. It ends early, without writing, at a piece that
 * goes beyond `limit`.
 * @param onWritten how many bytes of these pieces are written so far
 */
export async function writePieces(
  file: FileHandle,
  pieces: Pieces,
  limit: number,
  onWritten: (bytes: number) => void,
  signal?: AbortSignal,
): Promise<number> {
  let written = 0
  for await (const piece of pieces) {
    signal?.throwIfAborted()
    written += piece.length
    if (written > limit) break
    await writeAll(file, piece)
    onWritten(written)
  }
  return written
}

export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  let written = 0
  while (written < bytes.length) {
    written += (await file.write(bytes, written, bytes.length - written)).bytesWritten
  }
}
