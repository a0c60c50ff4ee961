import { type FileHandle, open } from 'node:fs/promises'

/** Enough for the keys that stand before the vocabulary, for Phi-2's vocabulary, and for larger ones. */
const READS = [64 * 1024, 2 * 1024 * 1024, 16 * 1024 * 1024]
const FILE_TYPE = 'general.file_type'
const GGUF = 0x46554747

/**
 * `general.file_type` of a GGUF file: its quantization. Only the lengths of what stands before it are read, so that it
 * takes a few milliseconds at most, where a whole header takes fifty. Undefined when it is not found, whatever the file is: whether the file is
 * sound shows when it is loaded.
 */
export async function readFileType(path: string): Promise<number | undefined> {
  let file: FileHandle | undefined
  try {
    file = await open(path, 'r')
    for (const length of READS) {
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, 0)
      try {
        return findFileType(buffer.subarray(0, bytesRead))
      } catch {
        // a RangeError: the keys go on behind these bytes
        if (bytesRead < length) return undefined
      }
    }
  } catch {
    // not there, or not to be read
  } finally {
    await file?.close()
  }
  return undefined
}

/** Bytes of the value types by their ids; a string and an array have lengths of their own. */
const VALUE_BYTES = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8]
const UINT32 = 4
const STRING = 8
const ARRAY = 9

/** @throws {RangeError} where the bytes end before the keys do */
function findFileType(bytes: Buffer): number | undefined {
  if (bytes.readUInt32LE(0) !== GGUF) return undefined
  let at = 16 // behind the version and the count of tensors
  const uint32 = () => {
    at += 4
    return bytes.readUInt32LE(at - 4)
  }
  // Counts and lengths have 64 bits; no header is so large that the upper half would matter.
  const count = () => {
    at += 8
    return bytes.readUInt32LE(at - 8)
  }
  for (let keys = count(); keys > 0; keys--) {
    const length = count()
    const isIt = length === FILE_TYPE.length && bytes.toString('latin1', at, at + length) === FILE_TYPE
    at += length
    const type = uint32()
    if (isIt) return type === UINT32 ? uint32() : undefined
    const of = type === ARRAY ? uint32() : type
    const elements = type === ARRAY ? count() : 1
    if (of !== STRING) at += elements * (VALUE_BYTES[of] ?? 0)
    // Those of the vocabulary, a hundred thousand: without a call for each.
    else for (let element = 0; element < elements; element++) at += 8 + bytes.readUInt32LE(at)
  }
  return undefined
}
