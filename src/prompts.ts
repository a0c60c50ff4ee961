import { optionError } from './errors.js'
import type { ChatTurn, CodeRequest } from './types.js'

// The formats of Phi-2's model card (https://huggingface.co/microsoft/phi-2, "Intended Uses"). A prompt ends right after
// its last mark, without a space: the space belongs to the first token of the answer. Text from the user is plain text
// here; `<|endoftext|>` in it stays so when the prompt is tokenized.

/** The card's concise QA format: `Instruct: …\nOutput:`. */
export function qaPrompt(question: string): string {
  return `Instruct: ${question.trimEnd()}\nOutput:`
}

export interface ChatTranscriptParts {
  user: string
  assistant: string
  /** Plain text before the first turn. */
  head?: string
  turns: readonly ChatTurn[]
}

export interface ChatPromptParts extends ChatTranscriptParts {
  message: string
}

/**
 * The card's chat format: one `Label: text` after the other, ending with the assistant's label. A turn is rendered
 * alike when it is new and when it is history, so that a chat's prompt extends the one before it.
 */
export function chatPrompt({ message, ...history }: ChatPromptParts): string {
  const { user, assistant } = history
  return [...transcriptLines(history), said(user, message), `${assistant}:`].join('\n')
}

/** The beginning of a chat's next prompt, up to where the message goes. Its tokens begin those of that prompt. */
export function chatOpening(history: ChatTranscriptParts): string {
  return [...transcriptLines(history), `${history.user}:`].join('\n')
}

/** A conversation as the model reads it. */
export function chatTranscript(history: ChatTranscriptParts): string {
  return transcriptLines(history).join('\n')
}

function transcriptLines({ user, assistant, head = '', turns }: ChatTranscriptParts): string[] {
  const lines = turns.flatMap((turn) => [said(user, turn.user), said(assistant, turn.assistant)])
  return head.trim() === '' ? lines : [head.trimEnd(), ...lines]
}

function said(label: string, text: string): string {
  return `${label}: ${text.trim()}`.trimEnd()
}

const docstringIndent = '   '

/**
 * The card's code format: the signature, and the docstring on lines of its own, three columns deeper. Ends right after
 * the closing quotes, or after the signature's colon if there is no docstring.
 * @throws {TypeError | RangeError} `PHI2_INVALID_OPTION` if the signature is not a text or is blank
 */
export function codePrompt({ signature, docstring = '' }: CodeRequest): string {
  const head = withColon(parseSignature(signature))
  const lines = docstringLines(docstring)
  if (lines.length === 0) return head
  const indent = indentOf(openingLine(signature)) + docstringIndent
  const quoted = ['"""', ...lines, '"""'].map((line) => (line === '' ? '' : indent + line))
  return [head, ...quoted].join('\n')
}

/**
 * Columns by which the block's head is indented: the first line of the signature's last statement, with tabs to
 * multiples of 8 as Python counts them.
 */
export function codeIndent(signature: string): number {
  let columns = 0
  for (const character of indentOf(openingLine(signature))) {
    columns = character === '\t' ? (Math.floor(columns / 8) + 1) * 8 : columns + 1
  }
  return columns
}

function parseSignature(signature: unknown): string {
  if (typeof signature !== 'string') {
    throw optionError('type', `Expected a string for signature but received a value of type ${typeof signature}`)
  }
  if (signature.trim() === '') {
    throw optionError('range', "Expected a signature such as 'def print_prime(n):' but received a blank string")
  }
  return signature.trimEnd()
}

function withColon(signature: string): string {
  // A comment may follow the colon; quotes within it could as well be a default value's.
  return /:\s*(#[^'"\n]*)?$/.test(signature) ? signature : `${signature}:`
}

/** The line where the last statement begins: a `def` may spread its parameters over several lines. */
function openingLine(signature: string): string {
  const lines = signature.trimEnd().split('\n')
  let at = lines.length - 1
  let unopened = 0
  for (; at > 0; at--) {
    for (const character of lines[at]!) {
      if (')]}'.includes(character)) unopened++
      else if ('([{'.includes(character)) unopened--
    }
    if (unopened <= 0) break
  }
  return lines[at]!
}

function indentOf(line: string): string {
  return /^[ \t]*/.exec(line)![0]
}

/** The docstring as Python reads it (PEP 257): common indentation and blank ends removed, quotes made harmless. */
function docstringLines(docstring: string): string[] {
  const lines = docstring
    .replaceAll('"""', '\\"\\"\\"')
    .split(/\r?\n/)
    .map((line) => line.trimEnd())
  const [first = '', ...rest] = lines
  const indents = rest.filter((line) => line !== '').map((line) => indentOf(line).length)
  const common = Math.min(...indents, Number.POSITIVE_INFINITY)
  const cleaned = [first.trimStart(), ...rest.map((line) => line.slice(common))]
  while (cleaned[0] === '') cleaned.shift()
  while (cleaned.at(-1) === '') cleaned.pop()
  return cleaned
}
