import { type Reading, type ReadingOptions, readingSchema } from '../../gguf/reading-options.js'
import { checkOptions } from '../options.js'
import type { CliContext } from './command.js'
import { UsageError } from './errors.js'
import { readText } from './input.js'
import { fromSchema, pick } from './options.js'
import { ProgressLine } from './progress-line.js'

/** Options of the commands that let a model read a text to measure it. */
export const readingFlags = fromSchema(readingSchema, 'Reading:')

/**
 * Those of the given values, checked before anything is read.
 * @throws TypeError or RangeError with the code `PHI2_INVALID_OPTION`
 */
export function readingOptions(values: Readonly<Record<string, unknown>>): Omit<ReadingOptions, 'text'> {
  return checkOptions<Omit<ReadingOptions, 'text'>>(pick(values, readingFlags), readingSchema)
}

/** The text that such a command was given as its one argument. */
export async function readTextFile(words: readonly string[], context: CliContext, command: string): Promise<string> {
  const [file, second] = words
  if (file === undefined || second !== undefined) {
    throw new UsageError(`phi2 ${command} takes one text file (- is standard input), found ${words.length}.`)
  }
  const text = await readText({ words: [], file }, context, 'text')
  // llama.cpp's tools leave out the newline that ends a file.
  return text.replace(/\n$/, '')
}

/** `4 chunks of 512 tokens` */
export function formatChunks({ chunks, contextSize }: Reading): string {
  return `${chunks} ${chunks === 1 ? 'chunk' : 'chunks'} of ${contextSize} tokens`
}

/** Runs a reading with a progress line such as `perplexity ███░░ 61% · ppl 9.71 · 40 s left`. */
export async function withReadingProgress<T>(
  context: CliContext,
  label: string,
  read: (options: Required<Pick<ReadingOptions, 'signal' | 'onProgress'>>) => Promise<T>,
): Promise<T> {
  const progress = new ProgressLine(context.stderr, label)
  try {
    return await read({
      signal: context.signal,
      onProgress: (fraction, perplexity) =>
        progress.update(fraction, perplexity === undefined ? '' : `ppl ${perplexity.toFixed(2)}`),
    })
  } finally {
    progress.end()
  }
}
