import type { Results } from './results.js'
import { markdownTable, measurementTable, targetTable } from './table.js'
import type { Verdict } from './targets.js'

/** The page that shows a run. */
export function resultsMarkdown(
  results: Results,
  verdicts: readonly Verdict[],
  cases: readonly { name: string; how: string }[],
): string {
  const { date, command, machine, versions, settings, measurements, failures, updates = [] } = results
  const models = [...new Set(measurements.map(({ model }) => model))]
  const list = (facts: Record<string, string>) => Object.entries(facts).map(([name, fact]) => `- ${name}: ${fact}`)
  const missed = verdicts.filter(({ met }) => !met).length
  return [
    '# Speed, side by side',
    '',
    `Written by \`${command}\` on ${date}. Medians, with the least and the most in parentheses; a ratio is the median of`,
    'the ratios of all rounds. [The figures](results.json), [a chart](results.svg).',
    '',
    '![Chart of the medians](results.svg)',
    '',
    ...list(machine),
    ...list(versions),
    ...list(settings),
    ...updates.map((run) => `- Measured again on ${run.date} by \`${run.command}\`, with phi2 ${run.phi2}`),
    '',
    '## Targets',
    '',
    verdicts.length === 0 ? 'No figure of a target was measured.' : markdownTable(targetTable(verdicts)),
    '',
    `${verdicts.length - missed} met, ${missed} missed.`,
    ...models.flatMap((model) => {
      const own = measurements.filter((measurement) => measurement.model === model)
      const remarks = own.flatMap(({ title, remark }) => (remark === undefined ? [] : [`- ${title}: ${remark}`]))
      return [
        '',
        `## ${model}`,
        '',
        markdownTable(measurementTable(own)),
        ...(remarks.length > 0 ? ['', ...remarks] : []),
      ]
    }),
    ...(failures.length === 0
      ? []
      : ['', '## Not measured', '', ...failures.map(({ name, reason }) => `- ${name}: ${reason}`)]),
    '',
    '## How it is measured',
    '',
    ...cases.map(({ name, how }) => `- \`${name}\`: ${how}`),
    '',
  ].join('\n')
}
