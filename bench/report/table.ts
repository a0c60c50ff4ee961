import { CONTENDERS, type Contender, type Measurement, ratio, type Summary, summarize } from './results.js'
import type { Verdict } from './targets.js'

/** Lines of cells; the first is the head. */
export type Table = readonly (readonly string[])[]

const PEERS = ['llama.cpp', 'node-llama-cpp'] as const satisfies readonly Contender[]

/** One line per measurement: the median of each contender with least and most, and how many times a peer's ours is. */
export function measurementTable(measurements: readonly Measurement[]): Table {
  const head = ['', 'unit', ...CONTENDERS, ...PEERS.map((peer) => `phi2 : ${peer}`)]
  const lines = measurements.map(({ title, unit, values }) => [
    title,
    unit,
    ...CONTENDERS.map((contender) => summaryText(values[contender])),
    ...PEERS.map((peer) => ratioText(ratio(values.phi2, values[peer]))),
  ])
  return [head, ...lines]
}

export function targetTable(verdicts: readonly Verdict[]): Table {
  const head = ['target', 'model', 'wanted', 'measured', '']
  const lines = verdicts.map(({ text, model, sign, limit, value, met, remark }) => [
    text,
    model,
    `${sign} ${digits(limit)}`,
    spreadText(value),
    `${met ? 'met' : 'MISSED'}${remark === undefined ? '' : ` (${remark})`}`,
  ])
  return [head, ...lines]
}

/** Columns that line up, for a terminal: texts to the left, figures to the right. */
export function alignedTable(table: Table): string {
  const widths = (table[0] ?? []).map((_, column) => Math.max(...table.map((line) => line[column]!.length)))
  const cell = (text: string, column: number) =>
    column === 0 || column === widths.length - 1 ? text.padEnd(widths[column]!) : text.padStart(widths[column]!)
  return table.map((line) => line.map(cell).join('  ').trimEnd()).join('\n')
}

export function markdownTable([head = [], ...lines]: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map((_, column) => (column === 0 ? '---' : '---:'))), ...lines.map(line)].join('\n')
}

function summaryText(values: readonly number[] | undefined): string {
  return values === undefined || values.length === 0 ? '' : spreadText(summarize(values))
}

function spreadText({ median, min, max }: Summary): string {
  return min === max ? digits(median) : `${digits(median)} (${digits(min)} … ${digits(max)})`
}

function ratioText(found: Summary | undefined): string {
  return found === undefined || !Number.isFinite(found.median) ? '' : found.median.toFixed(2)
}

/** Three digits that count. */
export function digits(value: number): string {
  if (Number.isInteger(value)) return `${value}`
  const size = Math.abs(value)
  return value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2)
}
