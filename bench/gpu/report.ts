/** Puts the parts that the stages of scripts/gpu-check.sh have found into one JSON file and one Markdown table. */
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { systemReport } from '../../src/system.js'
import { summarize } from '../report/results.js'
import type { ModeResult } from './modes.js'
import { readPart, rehearsal, say, WORK } from './setup.js'
import type { SpeedResult } from './speed.js'

const system = systemReport()
const modes = readPart<ModeResult[]>('modes') ?? []
const plugin = readPart<ModeResult[]>('plugin') ?? []
const speed = readPart<{ left: string[]; results: SpeedResult[] }>('speed')
const stages = readPart<Record<string, string>>('stages') ?? {}
const date = new Date().toISOString().slice(0, 10)

const report = { format: 'phi2-gpu-check', version: 1, date, rehearsal, system, stages, modes, plugin, speed }
writeFileSync(join(WORK, 'results', 'gpu-check.json'), `${JSON.stringify(report, null, 2)}\n`)

const devices = system.devices.map(({ description, memoryTotal, name }) => {
  return `${name} (${description}, ${(memoryTotal / 1e9).toFixed(0)} GB)`
})
const lines = [
  ...(rehearsal
    ? ['**A rehearsal: the CPU stood in for the GPU, with small models. No figure here is one of a GPU.**', '']
    : []),
  `${date}, ${devices.join(', ')}, ${cpus().length} processors, llama.cpp ${system.llama}, Node ${system.node}`,
  '',
  ...Object.entries(stages).map(([name, text]) => `- ${name}: ${text}`),
  '',
  ...modeTable('Modes, backend built from source', modes),
  ...modeTable('Modes, plug-in', plugin),
  ...speedTable(speed),
]
writeFileSync(join(WORK, 'results', 'gpu-check.md'), `${lines.join('\n')}\n`)
say(`written: ${join(WORK, 'results')}/gpu-check.json and gpu-check.md`)

function modeTable(title: string, results: readonly ModeResult[]): string[] {
  if (results.length === 0) return [`${title}: not run.`, '']
  return [
    `### ${title}`,
    '',
    '| model | mode | device | tokens | finite | mean \\|Δ log p\\| | greatest | same first choice | self-check | answers | |',
    '| --- | --- | --- | ---: | --- | ---: | ---: | ---: | --- | --- | --- |',
    ...results.map((result) =>
      row([
        result.model,
        result.mode,
        result.device,
        String(result.tokens),
        result.finite ? 'yes' : 'NO',
        result.meanDifference.toExponential(1),
        result.maxDifference.toExponential(1),
        `${(result.sameTop * 100).toFixed(0)} %`,
        result.selfCheck ? (result.selfCheck.ok ? 'pass' : 'FAIL') : '',
        result.sameAnswers === undefined ? '' : result.sameAnswers ? 'the same' : 'OTHERS',
        result.ok ? 'ok' : 'FAILED',
      ]),
    ),
    '',
  ]
}

function speedTable(found: { left: string[]; results: SpeedResult[] } | undefined): string[] {
  if (found === undefined) return ['Speed: not measured.', '']
  const contenders = ['phi2, built', 'phi2, plug-in', 'llama.cpp', 'node-llama-cpp'] as const
  return [
    '### Speed, tokens per second (median)',
    '',
    row(['', ...contenders]),
    row(['---', ...contenders.map(() => '---:')]),
    ...found.results.map(({ title, values }) =>
      row([title, ...contenders.map((name) => (values[name] ? summarize(values[name]).median.toFixed(1) : ''))]),
    ),
    '',
    ...(found.left.length > 0 ? [`Not at hand: ${found.left.join(', ')}.`, ''] : []),
  ]
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}
