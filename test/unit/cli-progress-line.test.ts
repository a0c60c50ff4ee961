import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { formatDuration, ProgressLine } from '../../src/cli/progress-line.js'
import { Sink } from '../cli/fakes.js'

test('progress shows at a terminal when it takes long, and is gone at the end', async () => {
  const stream = new Sink({ isTTY: true })
  const progress = new ProgressLine(stream, 'loading', 20)
  progress.update(0.25)
  assert.equal(stream.text, '')
  await sleep(60)
  assert.match(stream.text, /loading █{6}░{18} 25%$/)
  await sleep(110) // it is drawn ten times a second at most
  progress.update(0.5, '23 MB/s')
  assert.match(stream.text, /50% · 23 MB\/s$/)
  progress.end()
  assert.ok(stream.text.endsWith('\r\x1b[K'))
  const length = stream.text.length
  progress.update(0.75)
  assert.equal(stream.text.length, length)
})

test('progress is cut to the width of the terminal', async () => {
  const stream = new Sink({ isTTY: true, columns: 40 })
  const progress = new ProgressLine(stream, 'downloading phi-2', 1)
  await sleep(20)
  progress.update(1, '1.2 of 1.8 GB')
  const line = stream.text.split('\r\x1b[K').at(-1)!
  assert.equal(line, 'downloading phi-2 100% · 1.2 of 1.8 GB')
  progress.end()
})

test('where there is little room the figures stay, then the name, then the bar', async () => {
  const shown = async (columns: number, label: string) => {
    const stream = new Sink({ isTTY: true, columns })
    const progress = new ProgressLine(stream, label, 1)
    await sleep(20)
    progress.update(1, '1.8 of 1.8 GB · 23 MB/s')
    progress.end()
    return stream.text.split('\r\x1b[K').at(-2)!
  }
  const figures = '100% · 1.8 of 1.8 GB · 23 MB/s'
  assert.equal(
    await shown(80, 'downloading phi-2-q4_k_m.gguf'),
    `downloading phi-2-q4_k_m.gguf ${'█'.repeat(18)} ${figures}`,
  )
  assert.equal(await shown(64, 'downloading phi-2-q4_k_m.gguf'), `downloading phi-2-q4_k_m.gguf ${figures}`)
  assert.equal(await shown(60, 'downloading phi-2-q4_k_m.gguf'), `…wnloading phi-2-q4_k_m.gguf ${figures}`)
  assert.equal(await shown(0, 'a\x1bb'), `a\\u001bb ${'█'.repeat(24)} ${figures}`)
})

test('durations are shown in the units that fit', () => {
  assert.equal(formatDuration(400), '1 s')
  assert.equal(formatDuration(8_000), '8 s')
  assert.equal(formatDuration(125_000), '2 min 5 s')
  assert.equal(formatDuration(4_800_000), '1 h 20 min')
})

test('progress stays away from short loads and from pipes', async () => {
  const short = new Sink({ isTTY: true })
  const quick = new ProgressLine(short, 'loading', 50)
  quick.update(0.5)
  quick.end()
  const pipe = new Sink()
  const piped = new ProgressLine(pipe, 'loading', 1)
  await sleep(80)
  piped.update(0.5)
  piped.end()
  assert.equal(short.text, '')
  assert.equal(pipe.text, '')
})
