import { wordsText } from '../contenders/words.js'
import type { Measurement } from '../report/results.js'
import { alternate, type Bench, type Case, type Library, withLibraries } from './case.js'

const QUESTIONS = 16
const QUESTION_TOKENS = 20
const ANSWER_TOKENS = 8

export const prefix: Case = {
  name: 'prefix',
  how:
    'Sixteen questions with the same few-shot examples before each. Here all are asked at once, and ' +
    'nothing is prepared. node-llama-cpp cannot share the beginning between sequences, so its questions ' +
    'come one after the other on one sequence, which keeps what it has read of the prompt before: its ' +
    "users' best way.",
  models: 'first',
  run(bench) {
    const prefixTokens = bench.quick ? 100 : 400
    const contexts = {
      phi2: { contextSize: 2048, streams: QUESTIONS, shared: true },
      'node-llama-cpp': { contextSize: 2048, streams: 1 },
    }
    return withLibraries(bench, contexts, async (drivers) => {
      const wasted: Record<Library, number[]> = { phi2: [], 'node-llama-cpp': [] }
      const least = prefixTokens + QUESTIONS * QUESTION_TOKENS + QUESTIONS * (ANSWER_TOKENS - 1)
      const title = `${QUESTIONS} questions after one prefix of ${prefixTokens} tokens, all answered`
      const values = await alternate(bench, bench.rounds(2), title, {
        async phi2() {
          const run = await drivers.phi2.call('run', {
            prompts: questions(bench, prefixTokens),
            maxTokens: ANSWER_TOKENS,
          })
          wasted.phi2.push(run.evaluated - least)
          return run.ms
        },
        async 'node-llama-cpp'() {
          let ms = 0
          let evaluated = 0
          for (const prompt of questions(bench, prefixTokens)) {
            const run = await drivers['node-llama-cpp'].call('run', { prompts: [prompt], maxTokens: ANSWER_TOKENS })
            ms += run.ms
            evaluated += run.evaluated
          }
          wasted['node-llama-cpp'].push(evaluated - least)
          return ms
        },
      })
      const common = { model: bench.model.name, better: 'less' } as const
      const measurements: Measurement[] = [
        { ...common, id: 'prefix-time', title, unit: 'ms', values },
        {
          ...common,
          id: 'prefix-wasted',
          title: 'tokens decoded more than once for them',
          unit: 'tokens',
          values: wasted,
        },
      ]
      return measurements
    })
  },
}

/** The same new beginning, then different ends. */
function questions(bench: Bench, prefixTokens: number): string[] {
  const beginning = wordsText(prefixTokens, bench.fresh())
  return Array.from({ length: QUESTIONS }, () => beginning + wordsText(QUESTION_TOKENS, bench.fresh()))
}
