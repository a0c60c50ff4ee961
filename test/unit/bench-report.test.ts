import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chartSvg } from '../../bench/report/chart.js'
import { resultsMarkdown } from '../../bench/report/markdown.js'
import { type Measurement, quantile, type Results, ratio, summarize, updated } from '../../bench/report/results.js'
import { alignedTable, digits, markdownTable, measurementTable, targetTable } from '../../bench/report/table.js'
import { judge, TARGETS } from '../../bench/report/targets.js'

function measurement(id: string, values: Measurement['values'], more: Partial<Measurement> = {}): Measurement {
  return { id, title: id, model: 'q4_k_m', unit: 'tok/s', better: 'more', values, ...more }
}

test('a ratio is the median of the rounds’ ratios, so a slow spell of the machine cancels out', () => {
  // In the second round everything was twice as slow; the ratio of the medians would be 20 : 20.
  assert.deepEqual(ratio([40, 20, 20], [20, 10, 20]), { median: 2, min: 1, max: 2 })
  assert.deepEqual(ratio([1, 2, 3], [1, 1]), { median: 1.5, min: 1, max: 2 })
  assert.equal(ratio([1], []), undefined)
  assert.equal(ratio(undefined, [1]), undefined)
})

test('series are summed up by their median, least and most, and by quantiles', () => {
  assert.deepEqual(summarize([3, 1, 2]), { median: 2, min: 1, max: 3 })
  const values = Array.from({ length: 101 }, (_, i) => i)
  assert.equal(quantile(values, 0.5), 50)
  assert.equal(quantile(values, 0.99), 99)
})

test('three digits count, and whole numbers stay whole', () => {
  assert.deepEqual([1234.5, 99.96, 99.94, 9.996, 9.994, 0.5, 7, 0].map(digits), [
    '1235',
    '100',
    '99.9',
    '10.0',
    '9.99',
    '0.50',
    '7',
    '0',
  ])
})

test('a table has a line per measurement, with empty cells for contenders that have no such thing', () => {
  const table = measurementTable([
    measurement('decode', { phi2: [20, 22, 24], 'llama.cpp': [22, 22, 24], 'node-llama-cpp': [10, 11, 12] }),
    measurement('abort', { phi2: [5] }, { unit: 'ms', better: 'less' }),
  ])
  assert.deepEqual(table, [
    ['', 'unit', 'phi2', 'llama.cpp', 'node-llama-cpp', 'phi2 : llama.cpp', 'phi2 : node-llama-cpp'],
    ['decode', 'tok/s', '22 (20 … 24)', '22 (22 … 24)', '11 (10 … 12)', '1.00', '2.00'],
    ['abort', 'ms', '5', '', '', '', ''],
  ])
})

test('a ratio to zero is left out', () => {
  const [, line] = measurementTable([measurement('waste', { phi2: [0], 'node-llama-cpp': [0] })])
  assert.equal(line!.at(-1), '')
})

test('the table of a terminal lines up', () => {
  const text = alignedTable([
    ['', 'unit', 'note'],
    ['long name', 'ms', 'x'],
    ['n', 'tok/s', ''],
  ])
  assert.equal(text, '            unit  note\nlong name     ms  x\nn          tok/s')
})

test('a Markdown table keeps its columns whatever a cell holds', () => {
  assert.equal(
    markdownTable([
      ['a', 'b'],
      ['x|y', '1'],
    ]),
    '| a | b |\n| --- | ---: |\n| x\\|y | 1 |',
  )
})

test('a target is met at its limit and missed beyond it', () => {
  const figures = (ours: number, theirs: number) => [measurement('x', { phi2: [ours], 'llama.cpp': [theirs] })]
  const of = { id: 'x', contender: 'phi2' } as const
  const to = { id: 'x', contender: 'llama.cpp' } as const
  const met = (found: Measurement[], target: object) =>
    judge(found, [{ text: '', of, ...target }]).map(({ met }) => met)
  assert.deepEqual(met(figures(99, 100), { to, atLeast: 0.99 }), [true])
  assert.deepEqual(met(figures(98, 100), { to, atLeast: 0.99 }), [false])
  assert.deepEqual(met(figures(110, 100), { to, atMost: 1.1 }), [true])
  assert.deepEqual(met(figures(111, 100), { to, atMost: 1.1 }), [false])
  assert.deepEqual(met(figures(300, 1), { atMost: 300 }), [true])
  assert.deepEqual(
    met([measurement('y', { phi2: [1] })], { to, atLeast: 1 }),
    [],
    'what was not measured is not judged',
  )
})

test('an abort may take 100 ms, or one decode step where that is longer', () => {
  const limit = (tokensPerSecond?: number) => {
    const found = [
      measurement('abort-prefill-settled-p99', { phi2: [90] }, { unit: 'ms' }),
      ...(tokensPerSecond === undefined ? [] : [measurement('decode-1', { phi2: [tokensPerSecond] })]),
    ]
    return judge(found).find(({ text }) => text.startsWith('abort in prefill'))!.limit
  }
  assert.equal(limit(20), 100)
  assert.equal(limit(5), 200)
  assert.equal(limit(), 100)
})

test('a target that more than the package limits says what could be had', () => {
  const [verdict] = judge([
    measurement('busy-idle', { phi2: [20], 'llama.cpp': [20] }),
    measurement('busy-burning', { phi2: [13], 'llama.cpp': [12] }),
  ])
  assert.equal(verdict!.met, false)
  assert.equal(verdict!.remark, 'llama-bench beside such a process: 0.60')
  assert.match(targetTable([verdict!])[1]!.at(-1)!, /^MISSED \(llama-bench/)
})

test('models are judged apart', () => {
  const found = ['q4_k_m', 'q4_0'].map((model, i) =>
    measurement('decode-1', { phi2: [10 + i], 'llama.cpp': [10], 'node-llama-cpp': [5] }, { model }),
  )
  const verdicts = judge(found).filter(({ text }) => text.endsWith('of llama-bench'))
  assert.deepEqual(
    verdicts.map(({ model, value }) => [model, value.median]),
    [
      ['q4_k_m', 1],
      ['q4_0', 1.1],
    ],
  )
})

test('the chart is well-formed and shows each series, in colours for light and dark pages', () => {
  const svg = chartSvg(
    [
      measurement('a < b & c', { phi2: [10], 'llama.cpp': [20] }),
      measurement('abort', { phi2: [0], 'node-llama-cpp': [0] }, { unit: 'ms', better: 'less' }),
      measurement('nothing', {}),
    ],
    'Speed',
  )
  assert.equal(svg.match(/<rect class="(phi2|llama-cpp|node-llama-cpp)"/g)!.length, 3 + 4, 'legend and bars')
  assert.match(svg, /a &lt; b &amp; c \(q4_k_m\)/)
  assert.match(svg, /More is better[\s\S]*Less is better/)
  assert.match(svg, /@media\(prefers-color-scheme:dark\)/)
  assert.ok(!/NaN|undefined|Infinity/.test(svg))
  const open = svg.match(/<(svg|title|style|text)\b/g)!.length
  assert.equal(svg.match(/<\/(svg|title|style|text)>/g)!.length, open)
})

test('the bars of one group are scaled to the longest of them', () => {
  const svg = chartSvg([measurement('a', { phi2: [10], 'llama.cpp': [20] })], 'Speed')
  const widths = [...svg.matchAll(/<rect class="(?:phi2|llama-cpp)"[^>]* width="([\d.]+)" height="10"/g)].map((found) =>
    Number(found[1]),
  )
  assert.equal(widths[1], 2 * widths[0]!)
})

test('the page of results names machine, versions, command, verdicts and what failed', () => {
  const results: Results = {
    ...{ format: 'phi2-bench', version: 1, date: '2026-01-02 03:04', command: 'npm run bench' },
    machine: { Machine: 'two cores' },
    versions: { phi2: '1.2.3' },
    settings: { Models: 'random' },
    measurements: [measurement('decode-1', { phi2: [20], 'llama.cpp': [20] }, { remark: 'by candlelight' })],
    failures: [{ name: 'load (q4_0)', reason: 'no memory' }],
  }
  const page = resultsMarkdown(results, judge(results.measurements), [{ name: 'decode', how: 'With a stopwatch.' }])
  for (const text of [
    'Written by `npm run bench` on 2026-01-02 03:04',
    '- Machine: two cores',
    '- phi2: 1.2.3',
    '- Models: random',
    '| decode, 1 stream: of llama-bench | q4_k_m | ≥ 0.99 | 1 | met |',
    '1 met, 0 missed.',
    '- decode-1: by candlelight',
    '- load (q4_0): no memory',
    '- `decode`: With a stopwatch.',
  ]) {
    assert.ok(page.includes(text), text)
  }
  assert.ok(page.endsWith('\n') && !page.includes('\n\n\n'))
})

test('what is measured again takes the place of the same figures of the whole run', () => {
  const facts = { machine: { Machine: 'two cores', Threads: '2', 'Load average before': '0.1' } }
  const versions = { phi2: '1.2.3 (a)', 'node-llama-cpp': '3', 'Node.js': '20' }
  const common = { format: 'phi2-bench', version: 1, settings: {}, failures: [], ...facts, versions } as const
  const whole: Results = {
    ...common,
    date: 'Monday',
    command: 'npm run bench',
    measurements: [measurement('decode-1', { phi2: [1] }), measurement('load', { phi2: [2] })],
    failures: [
      { name: 'streams (q4_k_m)', reason: 'broken' },
      { name: 'load (q4_0)', reason: 'no memory' },
    ],
  }
  const part: Results = {
    ...common,
    date: 'Tuesday',
    command: 'npm run bench -- --update --cases decode,streams',
    machine: { ...facts.machine, 'Load average before': '0.2' },
    versions: { ...versions, phi2: '1.2.3 (b)' },
    measurements: [measurement('decode-1', { phi2: [9] }), measurement('decode-8', { phi2: [8] })],
  }
  const results = updated(whole, part, ['decode (q4_k_m)', 'streams (q4_k_m)'])
  assert.deepEqual(
    results.measurements.map(({ id, values }) => [id, values.phi2]),
    [
      ['decode-1', [9]],
      ['load', [2]],
      ['decode-8', [8]],
    ],
  )
  assert.deepEqual(results.failures, [{ name: 'load (q4_0)', reason: 'no memory' }])
  assert.ok(
    resultsMarkdown(results, [], []).includes(
      `- Measured again on Tuesday by \`${part.command}\`, with phi2 1.2.3 (b)`,
    ),
  )
  const elsewhere = { ...part, machine: { ...facts.machine, Machine: 'eight cores' } }
  assert.throws(() => updated(whole, elsewhere, []), /says Machine: two cores; now it is eight cores/)
})

test('every target is a ratio or a figure with one limit', () => {
  for (const { text, atLeast, atMost } of TARGETS)
    assert.equal([atLeast, atMost].filter((limit) => limit !== undefined).length, 1, text)
})
