import type { Phi2 } from '../phi2.js'
import type { Answer, GenerateOptions } from '../types.js'
import type { CliContext, Values } from './command.js'
import { OutputClosed, UsageError } from './errors.js'
import { withModel } from './load.js'
import {
  fileFlag,
  generateFlags,
  generateOptions,
  jsonFlag,
  loadFlags,
  loadOptions,
  rawFlag,
  statsFlag,
} from './options.js'
import { formatStats, write, writeJson } from './output.js'

/** What printing an answer needs of a `Generation`. */
export type Streaming<T extends Answer> = AsyncIterable<string> & PromiseLike<T> & { readonly text: string }

/** Options of the commands that print one answer. */
export const answerFlags = { ...fileFlag, ...jsonFlag, ...rawFlag, ...statsFlag, ...generateFlags, ...loadFlags }

export interface AnswerFormat {
  readonly json: boolean
  readonly raw: boolean
  readonly stats: boolean
}

/**
 * How to print, from the command line: checked before anything is read or loaded.
 * @throws {UsageError} for options that contradict each other, or that would have no effect
 */
export function answerFormat(values: Values<typeof answerFlags>): AnswerFormat {
  const { json = false, raw = false, stats = false, profile, logprobs, topLogprobs } = values
  if (raw && json) throw new UsageError('--raw prints the bare text and --json a JSON object: choose one.')
  if (raw && profile !== undefined && profile !== 'none') {
    throw new UsageError(`--raw is the text without a stop profile: leave out --profile ${profile}.`)
  }
  if (!json && (logprobs === true || topLogprobs !== undefined)) {
    throw new UsageError('Log-probabilities are part of the JSON answer: add --json.')
  }
  return { json, raw, stats }
}

/** Loads the model, starts the answer and prints it: as it comes, or as JSON when it is there. */
export async function runAnswer<T extends Answer>(
  values: Values<typeof answerFlags>,
  context: CliContext,
  start: (phi2: Phi2, options: GenerateOptions) => Streaming<T>,
  print: (generation: Streaming<T>, format: AnswerFormat, context: CliContext) => Promise<T> = printAnswer,
): Promise<number> {
  const format = answerFormat(values)
  const options = { ...generateOptions(values), signal: context.signal }
  if (format.raw) options.profile = 'none'
  await withModel(context, loadOptions(values), async (phi2) => {
    const answer = await print(start(phi2, options), format, context)
    if (format.stats) await write(context.stderr, `phi2: ${formatStats(answer)}\n`)
  })
  return 0
}

export async function printAnswer<T extends Answer>(
  generation: Streaming<T>,
  { json, raw }: AnswerFormat,
  { stdout, signal }: CliContext,
): Promise<T> {
  if (json) {
    const answer = await generation
    await writeJson(stdout, answer)
    return answer
  }
  let printed = ''
  const print = async (text: string): Promise<void> => {
    if (text === '') return
    printed += text
    await write(stdout, text)
  }
  const endLine = async (): Promise<void> => {
    if (!raw && !printed.endsWith('\n')) await write(stdout, '\n')
  }
  try {
    for await (const text of generation) await print(text)
    const answer = await generation
    await endLine()
    return answer
  } catch (error) {
    if (signal.aborted && !(error instanceof OutputClosed)) {
      // What came between the last chunk that was read and the abort.
      if (generation.text.startsWith(printed)) await print(generation.text.slice(printed.length))
      await endLine()
    }
    throw error
  }
}
