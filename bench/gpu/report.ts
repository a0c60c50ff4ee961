/** Puts the parts that the stages of scripts/gpu-check.sh have found into one JSON file and one Markdown table. */
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { systemReport } from '../../src/system.js'
import { summarize } from '../report/results.js'
import type { ModeResult } from './modes.js'
import { readPart, rehearsal, say, WORK } from './setup.js'
import type { SpeedResult } from './speed.js'

interface Speed {
  /** Contenders that were not measured. */
  left: string[]
  results: SpeedResult[]
}

const system = systemReport()
const modes = readPart<ModeResult[]>('modes') ?? []
const plugin = readPart<ModeResult[]>('plugin') ?? []
const speeds = ['f16', 'q4_k_m'].flatMap((name) => readPart<Speed>(`speed-${name}`) ?? [])
const stages = readPart<Record<string, string>>('stages') ?? {}
const date = new Date().toISOString().slice(0, 10)

const report = { format: 'phi2-gpu-check', version: 1, date, rehearsal, system, stages, modes, plugin, speeds }
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
  ...speedTable(speeds),
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

function speedTable(found: readonly Speed[]): string[] {
  if (found.length === 0) return ['Speed: not measured.', '']
  const contenders = ['phi2, built', 'phi2, plug-in', 'llama.cpp', 'node-llama-cpp'] as const
  const left = [...new Set(found.flatMap((one) => one.left))]
  return [
    '### Speed, tokens per second (median)',
    '',
    row(['', ...contenders]),
    row(['---', ...contenders.map(() => '---:')]),
    ...found
      .flatMap(({ results }) => results)
      .map(({ model, title, values }) =>
        row([
          `${model}, ${title}`,
          ...contenders.map((name) => (values[name] ? summarize(values[name]).median.toFixed(1) : '')),
        ]),
      ),
    '',
    ...(left.length > 0 ? [`Not at hand: ${left.join(', ')}.`, ''] : []),
  ]
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}
