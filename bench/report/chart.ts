import { CONTENDERS, type Contender, type Measurement, summarize } from './results.js'
import { digits } from './table.js'

const WIDTH = 860
const LABEL_WIDTH = 330
const BAR_WIDTH = 400
const BAR_HEIGHT = 12
const GROUP_GAP = 10
const HEAD_HEIGHT = 34

const COLORS: Record<Contender, { light: string; dark: string }> = {
  phi2: { light: '#0969da', dark: '#58a6ff' },
  'llama.cpp': { light: '#57606a', dark: '#9da7b3' },
  'node-llama-cpp': { light: '#bc4c00', dark: '#f0883e' },
}

/**
 * Bars of the medians, one group per measurement, each scaled to its own longest bar: units differ. Readable on light and
 * dark pages.
 */
export function chartSvg(measurements: readonly Measurement[], title: string): string {
  const drawn = measurements.filter(({ values }) => Object.values(values).some((series) => series.length > 0))
  const sections = [
    { head: 'More is better', rows: drawn.filter(({ better }) => better === 'more') },
    { head: 'Less is better', rows: drawn.filter(({ better }) => better === 'less') },
  ].filter(({ rows }) => rows.length > 0)

  let y = 64
  const parts: string[] = []
  for (const { head, rows } of sections) {
    parts.push(`<text class="head" x="16" y="${y + 16}">${head}</text>`)
    y += HEAD_HEIGHT
    for (const row of rows) {
      const { svg, height } = group(row, y)
      parts.push(svg)
      y += height + GROUP_GAP
    }
  }
  const height = y + 8
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    style(),
    `<rect class="page" width="${WIDTH}" height="${height}"/>`,
    `<text class="head" x="16" y="26">${escapeXml(title)}</text>`,
    legend(),
    ...parts,
    '</svg>',
    '',
  ].join('\n')
}

function group({ title, model, unit, values }: Measurement, top: number): { svg: string; height: number } {
  const bars = CONTENDERS.flatMap((contender) => {
    const series = values[contender]
    return series && series.length > 0 ? [{ contender, value: summarize(series).median }] : []
  })
  const longest = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE)
  const height = bars.length * BAR_HEIGHT
  const middle = top + height / 2 + 4
  const lines = bars.map(({ contender, value }, i) => {
    const y = top + i * BAR_HEIGHT
    const width = Math.max(1, (Math.max(0, value) / longest) * BAR_WIDTH)
    return (
      `<rect class="${className(contender)}" x="${LABEL_WIDTH}" y="${y + 1}" width="${width.toFixed(1)}" height="${BAR_HEIGHT - 2}"/>` +
      `<text class="value" x="${(LABEL_WIDTH + width + 6).toFixed(1)}" y="${y + BAR_HEIGHT - 2}">${digits(value)} ${unit}</text>`
    )
  })
  const label = `<text class="label" x="${LABEL_WIDTH - 10}" y="${middle}">${escapeXml(`${title} (${model})`)}</text>`
  return { svg: [label, ...lines].join('\n'), height }
}

function legend(): string {
  return CONTENDERS.map((contender, i) => {
    const x = 16 + i * 150
    return `<rect class="${className(contender)}" x="${x}" y="40" width="12" height="12"/><text class="value" x="${x + 18}" y="50">${contender}</text>`
  }).join('\n')
}

function style(): string {
  const fills = (mode: 'light' | 'dark') =>
    CONTENDERS.map((contender) => `.${className(contender)}{fill:${COLORS[contender][mode]}}`).join('')
  return [
    '<style>',
    'text{font:12px system-ui,sans-serif;fill:#1f2328}.head{font-weight:600;font-size:14px}.label{text-anchor:end}',
    `.value{font-size:11px}.page{fill:#ffffff}${fills('light')}`,
    `@media(prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#0d1117}${fills('dark')}}`,
    '</style>',
  ].join('\n')
}

function className(contender: Contender): string {
  return contender.replaceAll(/[^a-z0-9]/g, '-')
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
