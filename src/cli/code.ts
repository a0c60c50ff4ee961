import type { CodeAnswer, CodeRequest } from '../types.js'
import {
  type AnswerFormat,
  answerFlags,
  choiceSeparator,
  ended,
  planAnswer,
  printAnswer,
  runAnswer,
  type Streaming,
} from './answer.js'
import { type CliContext, defineCommand } from './command.js'
import { UsageError } from './errors.js'
import { readText, type TextSource } from './input.js'
import { write } from './output.js'

export const code = defineCommand({
  name: 'code',
  usage: 'code [options] <signature>',
  summary: 'Write the body of a Python function',
  notes: 'A file or standard input is the prompt as it is: source that ends where the body begins.',
  options: {
    docstring: { type: 'string', alias: 'd', doc: 'What the function does', group: 'Text:' },
    source: { type: 'boolean', doc: 'Print the whole function, not only its body', group: 'Output:' },
    ...answerFlags,
  },
  examples: [
    ["phi2 code 'def is_prime(n):' -d 'Is n a prime number?'", 'the body of a function'],
    ["phi2 code 'def area(r):' --source >> shapes.py", 'the whole function, into a file'],
    ['phi2 code --file unfinished.py', 'go on where the file ends'],
  ],
  async run({ values, words, context }) {
    const plan = planAnswer(values)
    if (values.source && (plan.format.json || plan.format.raw)) {
      throw new UsageError(
        '--source prints the whole function as text: leave out --raw, and --json, which holds it too.',
      )
    }
    const request = await readRequest({ words, file: values.file }, values.docstring, context)
    const print = values.source ? printSource : printAnswer<CodeAnswer>
    await runAnswer(plan, context, (phi2, options) => phi2.code(request, options), print)
    return 0
  },
})

async function readRequest(
  source: TextSource,
  docstring: string | undefined,
  context: CliContext,
): Promise<CodeRequest | string> {
  const text = await readText(source, context, 'signature or source')
  if (text.trim() === '') throw new UsageError('The source is empty.')
  const isPrompt = source.words.length === 0 || source.words[0] === '-'
  if (!isPrompt) return docstring === undefined ? { signature: text } : { signature: text, docstring }
  if (docstring !== undefined) {
    throw new UsageError('--docstring goes with a signature; a file or standard input is the prompt as it is.')
  }
  return text
}

/** The function begins with the signature and the docstring, which are no part of the stream: printed when it is whole. */
async function printSource(
  generation: Streaming<CodeAnswer>,
  _format: AnswerFormat,
  { stdout }: CliContext,
): Promise<CodeAnswer> {
  const answer = await generation
  const sources = (answer.choices ?? [answer]).map(({ source }) => ended(source))
  await write(stdout, sources.join(choiceSeparator))
  return answer
}
