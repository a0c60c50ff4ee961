import { open } from 'node:fs/promises'
import { addAbortSignal } from 'node:stream'
import { Phi2Error } from '../errors.js'
import type { CliContext, InputStream } from './command.js'
import { codeOf, UsageError } from './errors.js'

export interface TextSource {
  readonly words: readonly string[]
  readonly file: string | undefined
}

/**
 * The text that a command works on: its arguments joined by spaces, the file, or standard input (`-`, or when it is
 * piped and nothing else was given).
 * @throws {UsageError} when there is none, or two of them
 * @throws {Phi2Error} `PHI2_IO` when the file cannot be read or is not UTF-8
 */
export async function readText({ words, file }: TextSource, context: CliContext, what: string): Promise<string> {
  if (words.length > 0 && file !== undefined) {
    throw new UsageError(`Give the ${what} as an argument or with --file, not both.`)
  }
  const fromStdin = file === '-' || (words.length === 1 && words[0] === '-')
  if (!fromStdin && words.length > 0) return words.join(' ')
  if (!fromStdin && file !== undefined) return decode(await readBytes(file), file)
  if (!fromStdin && context.stdin.isTTY) {
    throw new UsageError(`No ${what} was given. Write it after the command, pipe it in, or name a file with --file.`)
  }
  const text = decode(await readStream(context.stdin, context.signal), 'Standard input')
  if (text === '') throw new UsageError(`No ${what} was given: standard input was empty.`)
  return text
}

/** The text of a prompt: {@link readText} without the newline that ends a file or the output of `echo`. */
export async function readPrompt(source: TextSource, context: CliContext, what = 'prompt'): Promise<string> {
  const text = (await readText(source, context, what)).replace(/\r?\n$/, '')
  if (text.trim() === '') throw new UsageError(`The ${what} is empty.`)
  return text
}

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    const file = await open(path, 'r')
    try {
      // One reading from start to end: the path may be a pipe.
      const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, null)
      // A model where a text belongs is easily typed, and can be too large to be read at all.
      if (buffer.toString('latin1') === 'GGUF') throw modelForText(path)
      return Buffer.concat([buffer.subarray(0, bytesRead), await file.readFile()])
    } finally {
      await file.close()
    }
  } catch (cause) {
    if (cause instanceof UsageError) throw cause
    throw new Phi2Error('PHI2_IO', `Cannot read ${path}: ${codeOf(cause) ?? String(cause)}. Expected a text file.`, {
      cause,
    })
  }
}

function modelForText(path: string): UsageError {
  return new UsageError(`${path} is a model, and a text belongs in this place. The model is named with --model.`)
}

async function readStream(stream: InputStream, signal: AbortSignal): Promise<Uint8Array> {
  signal.throwIfAborted()
  addAbortSignal(signal, stream)
  const chunks: Uint8Array[] = []
  try {
    for await (const chunk of stream) chunks.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk)
  } catch (error) {
    signal.throwIfAborted()
    throw error
  }
  return Buffer.concat(chunks)
}

function decode(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new Phi2Error('PHI2_IO', `${name} is not UTF-8 text. Convert it, for example with iconv.`, { cause })
  }
}
