import { answerFlags, planAnswer, runAnswer } from './answer.js'
import { defineCommand } from './command.js'
import { readPrompt } from './input.js'

export const ask = defineCommand({
  name: 'ask',
  usage: 'ask [options] <question…>',
  summary: 'Answer a question (Phi-2’s Instruct/Output format)',
  notes: 'The question is the arguments, the file, or standard input (- or piped), without their last newline.',
  options: answerFlags,
  examples: [
    ['phi2 "Why is the sky blue?"', 'ask a question'],
    ['phi2 ask --file question.txt --max-tokens 100', 'a question from a file, a short answer'],
    ['echo "What is a prime number?" | phi2 ask --json', 'the whole answer as JSON'],
  ],
  async run({ values, words, context }) {
    const plan = planAnswer(values)
    const question = await readPrompt({ words, file: values.file }, context, 'question')
    await runAnswer(plan, context, (phi2, options) => phi2.ask(question, options))
    return 0
  },
})
