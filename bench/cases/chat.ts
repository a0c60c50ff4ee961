import type { SubjectDriver } from '../contenders/drive.js'
import { wordsText } from '../contenders/words.js'
import type { Measurement } from '../report/results.js'
import { alternate, type Bench, type Case, LIBRARIES, type Library, withLibraries } from './case.js'
import { prefillMs } from './prefill.js'

const QUESTION_TOKENS = 60
const ANSWER_TOKENS = 48

export const chat: Case = {
  name: 'chat',
  how:
    'The second turn of a chat: time until its first token, beside the time that the same engine takes to ' +
    'read a prompt of just as many tokens as went through the model for the turn. Each library uses its ' +
    'own chat format.',
  models: 'first',
  run: (bench) =>
    withLibraries(bench, { contextSize: 2048, streams: 1 }, async (drivers) => {
      const fresh: Partial<Record<Library, number[]>> = { phi2: [], 'node-llama-cpp': [] }
      const tokens: Partial<Record<Library, number[]>> = { phi2: [], 'node-llama-cpp': [] }
      const second = (library: Library) => async () => {
        const turn = await secondTurn(drivers[library], bench)
        tokens[library]!.push(turn.evaluated)
        fresh[library]!.push(await prefillMs(drivers[library], bench, turn.evaluated))
        return turn.ms
      }
      const title = 'second chat turn, time to first token'
      const values = await alternate(
        bench,
        bench.rounds(3),
        title,
        Object.fromEntries(LIBRARIES.map((library) => [library, second(library)])),
      )
      const common = { model: bench.model.name, better: 'less' } as const
      const measurements: Measurement[] = [
        { ...common, id: 'chat-second-turn', title, unit: 'ms', values },
        { ...common, id: 'chat-new-alone', title: 'prefill of as many new tokens alone', unit: 'ms', values: fresh },
        {
          ...common,
          id: 'chat-new-tokens',
          title: 'tokens decoded for the second turn',
          unit: 'tokens',
          values: tokens,
        },
      ]
      return measurements
    }),
}

async function secondTurn(driver: SubjectDriver, bench: Bench): Promise<{ ms: number; evaluated: number }> {
  const message = () => wordsText(QUESTION_TOKENS, bench.fresh()).trim()
  const turns = await driver.call('chat', [
    { message: message(), maxTokens: ANSWER_TOKENS },
    { message: message(), maxTokens: 1 },
  ])
  return turns[1]!
}
