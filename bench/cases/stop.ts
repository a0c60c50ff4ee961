import type { SubjectDriver } from '../contenders/drive.js'
import type { Measurement } from '../report/results.js'
import { type Case, LIBRARIES, type Library, withLibraries } from './case.js'

const PROMPT = 'Once upon a time'
const MAX_TOKENS = 48
const STOP_LENGTHS = [3, 5, 8, 13]

export const stop: Case = {
  name: 'stop',
  how:
    'An answer is generated once without stops; then again with stops that are parts of it, cut out of it ' +
    'wherever they fall, and with texts that only begin like its end. What is too much and what is ' +
    'missing is counted.',
  models: 'tiny',
  run: (bench) =>
    withLibraries(bench, { contextSize: 512, streams: 1 }, async (drivers) => {
      const counts = new Map<Library, Counts>()
      for (const library of LIBRARIES) {
        bench.progress(`tokens and text after a stop: ${library}`)
        counts.set(library, await countWaste(drivers[library]))
      }
      const total = counts.get('phi2')!
      const measurement = (
        id: keyof Counts,
        title: string,
        unit: Measurement['unit'],
        remark: string,
      ): Measurement => ({
        ...{ id: `stop-${id}`, title, model: bench.model.name, unit, better: 'less', remark },
        values: Object.fromEntries([...counts].map(([library, found]) => [library, [found[id]]])),
      })
      const stops = `in ${total.stops} answers that a stop text ends`
      return [
        measurement('wasted', 'tokens sampled after a stop text was complete', 'tokens', stops),
        measurement('leaked', 'characters of a stop text, or after it, in the answer', 'characters', stops),
        measurement('lost', 'characters before a stop text that are missing', 'characters', stops),
        measurement(
          'held',
          'characters missing at the end of an answer that the limit ends',
          'characters',
          `in ${total.limits} answers whose end could be the beginning of a stop text`,
        ),
      ]
    }),
}

interface Counts {
  stops: number
  limits: number
  wasted: number
  leaked: number
  lost: number
  held: number
}

async function countWaste(driver: SubjectDriver): Promise<Counts> {
  const texts = await textsByTokens(driver)
  const whole = texts.at(-1)!
  const counts: Counts = { stops: 0, limits: 0, wasted: 0, leaked: 0, lost: 0, held: 0 }
  for (const { text, before } of stopsIn(whole)) {
    const needed = texts.findIndex((part) => part.includes(text)) + 1
    const answer = await driver.call('complete', { prompt: PROMPT, maxTokens: MAX_TOKENS, stop: [text] })
    counts.stops++
    counts.wasted += answer.sampled - needed
    counts.leaked += Math.max(0, answer.text.length - before.length)
    counts.lost += Math.max(0, before.length - answer.text.length)
  }
  for (const [i, part] of texts.entries()) {
    const never = `${part.slice(-3)}\u{1f512}`
    const answer = await driver.call('complete', { prompt: PROMPT, maxTokens: i + 1, stop: [never] })
    counts.limits++
    counts.held += part.length - answer.text.length
  }
  return counts
}

/** The answer's text after one token, after two, and so on. */
async function textsByTokens(driver: SubjectDriver): Promise<string[]> {
  const texts: string[] = []
  for (let maxTokens = 1; maxTokens <= MAX_TOKENS; maxTokens++) {
    const { text } = await driver.call('complete', { prompt: PROMPT, maxTokens })
    texts.push(text)
  }
  return texts
}

/** Parts of a text, in four lengths at every seventh character, that do not come earlier in it. */
export function stopsIn(whole: string): { text: string; before: string }[] {
  const starts = Array.from({ length: Math.floor(whole.length / 7) }, (_, i) => i * 7)
  return starts
    .map((start, i) => ({ text: whole.slice(start, start + STOP_LENGTHS[i % 4]!), before: whole.slice(0, start) }))
    .filter(({ text, before }) => text.trim() !== '' && whole.indexOf(text) === before.length)
}
