import { CHAIN_LENGTH, chain } from './chain.js'

export interface Task {
  name: string
  title: string
  /** The prompt before a text that the model will write. */
  prompt: (text: Int32Array, random: () => number) => number[]
  /** What prompt-lookup decoding is to be of plain decoding at least. */
  atLeast?: number
}

/** Tokens of a line of code. */
const LINE = 8

export const TASKS: readonly Task[] = [
  {
    name: 'edit',
    title: 'a tenth of the prompt edited, line by line',
    prompt: (text, random) => replaced(text, 0.1, LINE, random),
    atLeast: 1.8,
  },
  {
    name: 'scattered',
    title: 'a tenth of the prompt edited, single tokens',
    prompt: (text, random) => replaced(text, 0.1, 1, random),
  },
  { name: 'copy', title: 'the prompt repeated', prompt: (text) => [...text] },
  { name: 'new', title: 'nothing repeats', prompt: (text, random) => replaced(text, 1, 1, random), atLeast: 0.97 },
  {
    name: 'third',
    title: 'every third token of the prompt another one',
    prompt: (text, random) => Array.from(text, (token, i) => (i % 3 === 0 ? anyToken(random) : token)),
    atLeast: 0.97,
  },
  {
    name: 'pairs',
    title: 'every pair stands in the prompt, followed by another token',
    prompt: (text, random) =>
      Array.from(text.subarray(0, text.length / 3), (token, i) => [token, text[i + 1]!, anyToken(random)]).flat(),
    atLeast: 0.97,
  },
]

/** The text with a share of its tokens replaced, so many in a row, at random places but evenly. */
function replaced(text: Int32Array, share: number, inARow: number, random: () => number): number[] {
  const before = [...text]
  const distance = Math.round(inARow / share)
  for (let begin = 0; begin < before.length; begin += distance) {
    const from = begin + (random() % (distance - inARow + 1))
    for (let at = from; at < Math.min(from + inARow, before.length); at++) before[at] = anyToken(random)
  }
  return before
}

function anyToken(random: () => number): number {
  return chain(random() % CHAIN_LENGTH, 1)[0]!
}
