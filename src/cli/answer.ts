import type { Phi2 } from '../phi2.js'
import type { Answer, GenerateOptions, LoadOptions } from '../types.js'
import type { CliContext, Values } from './command.js'
import { UsageError } from './errors.js'
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
import { formatStats, write, writeJson, writeNote } from './output.js'

/** What printing an answer needs of a `Generation`. */
export type Streaming<T extends Answer> = AsyncIterable<string> & PromiseLike<T>

/** Options of the commands that print one answer. */
export const answerFlags = { ...fileFlag, ...jsonFlag, ...rawFlag, ...statsFlag, ...generateFlags, ...loadFlags }

export interface AnswerFormat {
  readonly json: boolean
  readonly raw: boolean
  readonly stats: boolean
}

export interface AnswerPlan {
  readonly format: AnswerFormat
  readonly load: LoadOptions
  readonly generate: GenerateOptions
}

/**
 * What the options ask for, checked before anything is read or loaded.
 * @throws {UsageError} for options that contradict each other, or that would have no effect
 */
export function planAnswer(values: Values<typeof answerFlags>): AnswerPlan {
  const { json = false, raw = false, stats = false, profile, logprobs, topLogprobs, choices = 1 } = values
  if (raw && json) throw new UsageError('--raw prints the bare text and --json a JSON object: choose one.')
  if (raw && profile !== undefined && profile !== 'none') {
    throw new UsageError(`--raw is the text without a stop profile: leave out --profile ${profile}.`)
  }
  if (raw && choices > 1) {
    throw new UsageError('--raw prints one bare text: leave out --choices, or print all of them with --json.')
  }
  if (!json && (logprobs === true || topLogprobs !== undefined)) {
    throw new UsageError('Log-probabilities are part of the JSON answer: add --json.')
  }
  const generate = generateOptions(values)
  if (raw) generate.profile = 'none'
  return { format: { json, raw, stats }, load: loadOptions(values), generate }
}

/** Loads the model, starts the answer and prints it: as it comes, or as JSON when it is there. */
export async function runAnswer<T extends Answer>(
  { format, load, generate }: AnswerPlan,
  context: CliContext,
  start: (phi2: Phi2, options: GenerateOptions) => Streaming<T>,
  print: (generation: Streaming<T>, format: AnswerFormat, context: CliContext) => Promise<T> = printAnswer,
): Promise<void> {
  await withModel(
    context,
    load,
    async (phi2) => {
      const answer = await print(start(phi2, { ...generate, signal: context.signal }), format, context)
      if (!format.stats) return
      for (const one of answer.choices ?? [answer]) await writeNote(context.stderr, `phi2: ${formatStats(one)}`)
    },
    { offer: !format.json },
  )
}

/** Of several answers the first is printed as it comes, the others when all have ended. */
export async function printAnswer<T extends Answer>(
  generation: Streaming<T>,
  { json, raw }: AnswerFormat,
  { stdout }: CliContext,
): Promise<T> {
  if (json) {
    const answer = await generation
    await writeJson(stdout, answer)
    return answer
  }
  let last = ''
  const endLine = async (): Promise<void> => {
    if (!raw && !last.endsWith('\n')) await write(stdout, '\n')
  }
  try {
    for await (last of generation) await write(stdout, last)
  } catch (error) {
    if (last !== '') await endLine()
    throw error
  }
  await endLine() // before the others, which may still fail
  const answer = await generation
  for (const other of answer.choices?.slice(1) ?? []) await write(stdout, `${choiceSeparator}${ended(other.text)}`)
  return answer
}

/** A line between several answers. */
export const choiceSeparator = '---\n'

export function ended(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`
}
