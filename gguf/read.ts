import { Phi2Error } from '../src/errors.js'
import { type ByteSource, openFile } from './byte-source.js'
import { EndOfBytes, MAX_HEADER } from './cursor.js'
import { type GgufHeader, invalidGguf } from './format.js'
import { missingBytes, parseHeader } from './parse-header.js'

/**
 * Reads the header of a GGUF file (versions 2 and 3): its keys and what its tensors are, not their data.
 * Safe on corrupt and hostile files: it reads at most 64 MiB, and every count is checked against the bytes that are left.
 * Text that is not UTF-8 comes back with U+FFFD.
 *
 * @example
 * const { metadata, tensors } = await readHeader('phi-2.gguf')
 * metadata.get('general.architecture') // { type: 'string', value: 'phi2' }
 *
 * @throws {Phi2Error} `PHI2_MODEL_NOT_FOUND` when there is no such file, `PHI2_IO` when it cannot be read, and
 * `PHI2_INVALID_GGUF` when it is no GGUF file, is damaged, or ends before its last tensor (an unfinished download).
 */
export async function readHeader(path: string): Promise<GgufHeader> {
  const source = await openFile(path)
  try {
    const header = await readHeaderFrom(source)
    const missing = missingBytes(header)
    if (missing === 0) return header
    throw invalidGguf(
      `it has ${header.fileSize} of ${header.fileSize + missing} bytes; it is truncated or was not downloaded completely`,
      path,
    )
  } finally {
    await source.close()
  }
}

/**
 * The header at the beginning of `source`; the tensors' data may be cut off. Reads only what it must, each time as much
 * again as it has, so that a remote file costs few requests and few bytes.
 *
 * The parser is our own and not that of `@huggingface/gguf`, which takes a text or an array that ends behind the file, a
 * header cut in its list of tensors, overlapping tensors, types that do not exist and an alignment of 3 without a word
 * (zeros come back for what is not there), keeps keys of the file and its own `version` in one object, and fetches all
 * of a file whose server ignores ranges, whatever its status. In the tests it is the second opinion on sound files.
 *
 * @throws {Phi2Error} `PHI2_INVALID_GGUF`, and whatever `source` throws. Aborting throws `signal.reason`.
 */
export async function readHeaderFrom(source: ByteSource, signal?: AbortSignal): Promise<GgufHeader> {
  let bytes = new Uint8Array()
  for (let wanted = source.firstRead; ; ) {
    bytes = Buffer.concat([bytes, await source.read(bytes.length, wanted - bytes.length, signal)])
    const result = attempt(bytes, source)
    if (!(result instanceof EndOfBytes)) return result
    if (result.needed > MAX_HEADER) throw invalidGguf(`its header is larger than ${MAX_HEADER} bytes`, source.name)
    if (bytes.length < wanted) {
      throw invalidGguf(
        `it ends inside its header, after ${bytes.length} bytes; it is truncated or was not downloaded completely`,
        source.name,
      )
    }
    wanted = Math.min(Math.max(2 * wanted, result.needed), MAX_HEADER)
  }
}

function attempt(bytes: Uint8Array, source: ByteSource): GgufHeader | EndOfBytes {
  try {
    return parseHeader(bytes, source.size ?? Number.POSITIVE_INFINITY)
  } catch (error) {
    if (error instanceof EndOfBytes) return error
    if (error instanceof Phi2Error) throw invalidGguf(error.message, source.name)
    throw error
  }
}
