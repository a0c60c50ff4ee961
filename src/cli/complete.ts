import { answerFlags, planAnswer, runAnswer } from './answer.js'
import { defineCommand } from './command.js'
import { readPrompt } from './input.js'

export const complete = defineCommand({
  name: 'complete',
  usage: 'complete [options] <text…>',
  summary: 'Continue a text as it is (no format)',
  notes: 'The text is the arguments, the file, or standard input (- or piped), without their last newline.',
  options: answerFlags,
  examples: [
    ['phi2 complete "Once upon a time" --max-tokens 60', 'continue a text'],
    ['phi2 complete -f story.txt --temperature 0.8 --seed 7', 'continue a file, repeatably'],
    ['phi2 complete "1, 2, 3," --stop 10 --stats', 'end at a text of your own, with statistics'],
  ],
  async run({ values, words, context }) {
    const plan = planAnswer(values)
    const text = await readPrompt({ words, file: values.file }, context, 'text')
    await runAnswer(plan, context, (phi2, options) => phi2.complete(text, options))
    return 0
  },
})
