import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { offerModel } from '../../src/cli/offer.js'
import { formatAmount, PullProgressLine } from '../../src/cli/pull-progress.js'
import type { PullResult } from '../../src/models/pull.js'
import { fakeContext, Keyboard, Sink, until } from '../cli/fakes.js'
import { temporaryFolder } from '../helpers/model.js'

function terminal() {
  const stdin = new Keyboard()
  const stdout = new Sink({ isTTY: true })
  const stderr = new Sink({ isTTY: true })
  const env = { PHI2_CACHE: join(temporaryFolder(), 'cache') }
  let pulls = 0
  const pull = async () => {
    pulls++
    return { path: '/cache/phi-2-q4_k_m.gguf' } as PullResult
  }
  return { env, pull, pulls: () => pulls, stderr, stdin, stdout }
}

/** What comes of the offer when this is typed. */
async function answered(place: ReturnType<typeof terminal>, typed: string, signal = new AbortController().signal) {
  const { env, pull, stderr, stdin, stdout } = place
  const outcome = offerModel(fakeContext({ env, signal, stderr, stdin, stdout }), pull)
  await until(
    () => stderr.text.includes('[y/n] '),
    () => stderr.text,
  )
  stdin.write(typed)
  return outcome
}

test('yes pulls the model and gives its path, with the size and the licence said before', async () => {
  for (const typed of ['y\n', 'Yes\r\n', ' y \n']) {
    const place = terminal()
    assert.equal(await answered(place, typed), '/cache/phi-2-q4_k_m.gguf')
    assert.match(place.stderr.text, /microsoft\/phi-2 now\? 1\.8 GB, MIT licence, into .*\[y\/n\] $/)
    assert.deepEqual([place.stdout.text, place.pulls()], ['', 1])
  }
})

test('no is remembered, and not asked for again', async () => {
  const place = terminal()
  assert.equal(await answered(place, 'n\n'), undefined)
  const shown = place.stderr.text
  assert.match(shown, /not be asked again/)
  assert.equal(await offerModel(fakeContext(place), place.pull), undefined)
  assert.deepEqual([place.stderr.text, place.pulls()], [shown, 0])
})

test('anything else is no for this time only', async () => {
  for (const typed of ['\n', 'maybe\n', 'yesterday\n']) {
    const place = terminal()
    assert.equal(await answered(place, typed), undefined)
    assert.deepEqual([existsSync(place.env.PHI2_CACHE), place.pulls()], [false, 0])
  }
  const place = terminal()
  setTimeout(() => place.stdin.end(), 20)
  assert.equal(await answered(place, ''), undefined)
})

test('an interrupt at the question ends with its reason', async () => {
  const controller = new AbortController()
  const reason = new Error('interrupted')
  setTimeout(() => controller.abort(reason), 50)
  await assert.rejects(answered(terminal(), '', controller.signal), reason)
})

test('nobody is asked where one of the streams is no terminal', async () => {
  for (const stream of ['stdin', 'stdout', 'stderr'] as const) {
    const place = terminal()
    const context = fakeContext({ ...place, [stream]: stream === 'stdin' ? undefined : new Sink() })
    if (stream === 'stdin') Object.assign(context, { stdin: Object.assign(new Keyboard(), { isTTY: false }) })
    assert.equal(await offerModel(context, place.pull), undefined)
    assert.equal(place.stderr.text, '')
  }
})

test('amounts have the unit of the whole', () => {
  assert.equal(formatAmount(1_234_000_000, 1_789_239_136), '1.2 of 1.8 GB')
  assert.equal(formatAmount(0, 43_000_000), '0 of 43 MB')
  assert.equal(formatAmount(400_000, 8_400_000), '0.4 of 8.4 MB')
  assert.equal(formatAmount(12, 7_340), '0 of 7 kB')
  assert.equal(formatAmount(5_000_000, undefined), '5.0 MB')
})

test('the line of a pull names the step, the amount and the speed, and goes at the end', async () => {
  const stderr = new Sink({ isTTY: true })
  const line = new PullProgressLine(stderr)
  const progress = { file: 'a.gguf', done: 1e9, total: 2e9, bytesPerSecond: 23_400_000 }
  line.update({ step: 'download', ...progress })
  await until(
    () => stderr.text.includes('50%'),
    () => stderr.text,
  )
  assert.match(stderr.text, /downloading a\.gguf █+░+ 50% · 1\.0 of 2\.0 GB · 23 MB\/s$/)
  line.update({ step: 'retry', ...progress })
  await until(
    () => stderr.text.includes('waiting for the server'),
    () => stderr.text,
  )
  line.update({ step: 'quantize', ...progress, bytesPerSecond: 0 })
  await until(
    () => /quantizing to a\.gguf █+░+ 50% · 1\.0 of 2\.0 GB$/.test(stderr.text),
    () => stderr.text,
  )
  line.end()
  assert.equal(stderr.text.slice(-4), '\r\x1b[K')
})
