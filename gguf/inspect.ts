import { Phi2Error } from '../src/errors.js'
import { formatRef, isHubRef, locate, parseRemoteRef } from '../src/models/hub.js'
import { resolveModel } from '../src/models/resolve.js'
import { type ByteSource, openFile } from './byte-source.js'
import { checkBoolean, checkInteger, checkText, checkWork, type OptionNames } from './checks.js'
import { align, type GgufHeader } from './format.js'
import { inspectKeys, inspectTensors, modelFacts, readShape, streamedBytes, tokenizerFacts } from './inspect-facts.js'
import { remarks } from './inspect-remarks.js'
import type { FileFacts, Inspection } from './inspect-types.js'
import { estimateMemory, estimateSpeed } from './memory.js'
import { missingBytes } from './parse-header.js'
import { readHeaderFrom } from './read.js'

export interface InspectOptions {
  /**
   * A GGUF file: a path, `'tiny'`, the name of a model in the cache, an `https:` URL, or a reference such as
   * `hf:org/name/file.gguf`. Of a remote file only the header is read, about 2 MB, by HTTP ranges.
   */
  source: string
  /** Tokens of context that the memory is estimated for. @default 2048 */
  contextSize?: number | undefined
  /** All of long arrays and texts, such as the tokens, instead of their beginnings. @default false */
  fullValues?: boolean | undefined
  /** Aborting throws `signal.reason`. */
  signal?: AbortSignal | undefined
}

const OPTIONS: OptionNames<InspectOptions> = {
  source: true,
  contextSize: true,
  fullValues: true,
  signal: true,
}

/**
 * Looks into a GGUF file without loading it: what it holds, what memory and speed to expect, and what is odd about it.
 * A file whose tensors are cut off, such as an unfinished download, is inspected too, with the warning `truncated` and
 * the count of missing bytes; one that is cut in its header is an error.
 *
 * @example
 * const { model, memory, warnings } = await inspect({ source: 'hf:TheBloke/phi-2-GGUF/phi-2.Q4_K_M.gguf' })
 * model.fileType // 'q4_k_m'
 * memory?.total  // bytes
 *
 * @throws {Phi2Error} `PHI2_INVALID_GGUF` for what is no GGUF file or is damaged; `PHI2_MODEL_NOT_FOUND`,
 * `PHI2_UNKNOWN_MODEL` and `PHI2_IO` for a file that is not there or cannot be read; `PHI2_ACCESS_DENIED` and
 * `PHI2_DOWNLOAD_FAILED` for a remote one. A TypeError or RangeError with `PHI2_INVALID_OPTION` for wrong options.
 */
export async function inspect(options: InspectOptions): Promise<Inspection> {
  checkWork(options, OPTIONS)
  const { source, contextSize = 2048, fullValues = false, signal } = options
  checkText('source', source)
  checkInteger('contextSize', contextSize, 1, 2 ** 20)
  checkBoolean('fullValues', fullValues)
  signal?.throwIfAborted()
  const { bytes, remote } = await openSource(source)
  try {
    return await inspectBytes(bytes, { remote, contextSize, fullValues, signal })
  } finally {
    await bytes.close()
  }
}

interface Circumstances {
  remote: boolean
  contextSize: number
  fullValues: boolean
  signal?: AbortSignal | undefined
}

/** @internal The same for a source that is open, and stays so. */
export async function inspectBytes(source: ByteSource, circumstances: Circumstances): Promise<Inspection> {
  const { remote, contextSize, fullValues, signal } = circumstances
  const header = await readHeaderFrom(source, signal)
  const file = fileFacts(header, source.name, remote)
  const model = modelFacts(header)
  const shape = readShape(header)
  const tokenizer = tokenizerFacts(header.metadata)
  const memory = shape && estimateMemory(shape, model.tensorBytes, contextSize)
  const streamed = streamedBytes(header.tensors)
  return {
    file,
    model,
    shape,
    tokenizer,
    memory,
    speed: memory && streamed > 0 ? estimateSpeed(streamed, memory.kvPerToken * contextSize) : undefined,
    ...remarks({ header, file, model, shape, tokenizer }),
    keys: inspectKeys(header.metadata, fullValues),
    tensors: inspectTensors(header),
  }
}

async function openSource(source: string): Promise<{ bytes: ByteSource; remote: boolean }> {
  const ref = parseRemoteRef(source)
  if (ref === undefined) return { bytes: await openFile(resolveModel(source).path), remote: false }
  if (isHubRef(ref) && ref.path === undefined) {
    throw new Phi2Error('PHI2_UNKNOWN_MODEL', `${formatRef(ref)} is a whole repository; name one of its GGUF files.`)
  }
  const { RemoteSource } = await import('./remote-source.js')
  const { url, headers, source: name } = locate(ref)
  return { bytes: new RemoteSource(name, url, headers), remote: true }
}

function fileFacts(header: GgufHeader, source: string, remote: boolean): FileFacts {
  const { alignment, dataOffset, fileSize, tensors, version } = header
  const last = tensors.at(-1)
  // llama.cpp pads the last tensor too; some writers do not.
  const end = last === undefined ? dataOffset : dataOffset + align(last.offset + last.byteLength, alignment)
  const known = Number.isFinite(fileSize)
  return {
    source,
    remote,
    bytes: known ? fileSize : undefined,
    version,
    alignment,
    dataOffset,
    missingBytes: missingBytes(header),
    extraBytes: known ? Math.max(0, fileSize - end) : 0,
  }
}
