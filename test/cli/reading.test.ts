import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { ImatrixResult, PerplexityResult } from '../../gguf/index.js'
import { packageRoot } from '../../src/package-root.js'
import { phi2 } from './run.js'

const text = join(packageRoot(), 'test', 'fixtures', 'evaluation.txt')
const tiny = ['--model', 'tiny', '--context-size', '128', '--chunks', '2']

let folder = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'phi2 cli '))
})
after(() => rm(folder, { recursive: true }))

test('phi2 perplexity prints one line, the same for a file and for standard input', async () => {
  const run = await phi2(['perplexity', text, ...tiny])
  assert.deepEqual([run.code, run.stderr], [0, ''])
  assert.match(run.stdout, /^perplexity 1\.\d{4} ± 0\.\d{4} \(95 %: \d\.\d{3} … \d\.\d{3}\), 2 chunks of 128 tokens\n$/)
  const piped = await phi2(['perplexity', '-', ...tiny], { input: await readFile(text, 'utf8') })
  assert.equal(piped.stdout, run.stdout)
  const one = await phi2(['perplexity', text, ...tiny.slice(0, -1), '1'])
  assert.match(one.stdout, /, 1 chunk of 128 tokens\n$/)
})

test('phi2 perplexity --against compares, for people and for programs', async () => {
  const run = await phi2(['perplexity', text, ...tiny, '--against', 'tiny'])
  assert.equal(run.code, 0, run.stderr)
  assert.match(run.stdout, /^perplexity .*\nagainst .*phi-2-tiny/)
  assert.match(run.stdout, /\nratio +1\.00000 ± 0\.00000\n/)
  assert.match(run.stdout, /\nKL divergence +0\.000000 ± 0\.000000 nats per token\n/)
  assert.match(run.stdout, /\nsame top token +100\.000 ± 0\.000 %\n/)
  const json = await phi2(['perplexity', text, ...tiny, '--against', 'tiny', '--json'])
  const result = JSON.parse(json.stdout) as PerplexityResult
  assert.deepEqual([result.chunks, result.contextSize, result.tokens], [2, 128, 126])
  assert.equal(result.comparison?.sameTop.value, 1)
})

test('phi2 imatrix writes the file and says what is in it; an older file stays without --force', async () => {
  const to = join(folder, 'm.gguf')
  const run = await phi2(['imatrix', text, ...tiny, '-o', to])
  assert.deepEqual([run.code, run.stderr], [0, ''])
  assert.match(run.stdout, /m\.gguf: 30 matrices, 6\d kB, from 2 chunks of 128 tokens, perplexity 1\.\d{4}\n$/)
  const before = await readFile(to)
  assert.ok(before.includes('evaluation.txt') && !before.includes(text))

  const again = await phi2(['imatrix', text, ...tiny, '-o', to])
  assert.deepEqual([again.code, again.stdout], [1, ''])
  assert.match(again.stderr, /exists already.*--force.*\(PHI2_IO\)/)
  assert.deepEqual(await readFile(to), before)

  const forced = await phi2(['imatrix', text, ...tiny, '-o', to, '--force', '--process-output', '--json'])
  const result = JSON.parse(forced.stdout) as ImatrixResult
  assert.deepEqual([result.path, result.entries, result.bytes], [to, 31, (await readFile(to)).length])
})

test('wrong usage is told apart from a text that does not serve', async () => {
  for (const args of [[], ['a.txt', 'b.txt']]) {
    const run = await phi2(['perplexity', ...args])
    assert.equal(run.code, 2)
    assert.match(run.stderr, /takes one text file/)
  }
  const range = await phi2(['imatrix', text, '--context-size', '1'])
  assert.equal(range.code, 2)
  assert.match(range.stderr, /contextSize/)

  const short = await phi2(['perplexity', '-', ...tiny], { input: 'Once upon a time' })
  assert.equal(short.code, 1)
  assert.match(short.stderr, /at least 256\b.*\(PHI2_TEXT_TOO_SHORT\)/)
  const bytes = join(folder, 'bytes.txt')
  await writeFile(bytes, Buffer.of(0x61, 0xff, 0xfe))
  const notText = await phi2(['perplexity', bytes, ...tiny])
  assert.equal(notText.code, 1)
  assert.match(notText.stderr, /not UTF-8/)
})

test('an interrupted phi2 imatrix ends with 130 and leaves nothing', async () => {
  const long = join(folder, 'long.txt')
  await writeFile(long, (await readFile(text, 'utf8')).repeat(40))
  const place = await mkdtemp(join(folder, 'interrupted '))
  const run = await phi2(['imatrix', long, '-m', 'tiny', '-o', join(place, 'm.gguf')], {
    env: { PHI2_LOG: 'info' }, // the engine’s first words are the sign that it has begun
    onSpawn: (child) => child.stderr?.once('data', () => child.kill('SIGINT')),
  })
  assert.deepEqual([run.code, run.stdout], [130, ''])
  assert.deepEqual(await readdir(place), [])
})
