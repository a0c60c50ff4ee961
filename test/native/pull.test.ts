import assert from 'node:assert/strict'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { listCache, type PullProgress, pull, removeFromCache } from '../../gguf/index.js'
import { namedModelPath } from '../../src/models/cache.js'
import { catalog } from '../../src/models/catalog.js'
import { pullFrom } from '../../src/models/pull.js'
import { tinyModelPath } from '../../src/models/resolve.js'
import { Phi2 } from '../../src/phi2.js'
import { type HubServer, hubServer } from '../helpers/hub-server.js'
import { temporaryFolder, tinyCheckpoint } from '../helpers/model.js'

const QUESTION = 'What is the capital of France?'

let hub: HubServer
before(async () => {
  hub = await hubServer({ 'tiny.gguf': readFileSync(tinyModelPath()), 'novel.gguf': Buffer.alloc(20_000, 'x') })
})
after(() => hub[Symbol.asyncDispose]())
beforeEach(() => {
  process.env.PHI2_CACHE = temporaryFolder()
  process.env.HF_ENDPOINT = hub.url
})

test('load downloads a reference once, and its progress goes from 0 to 1 and never back', async () => {
  const model = 'hf:org/name/tiny.gguf'
  const seen: number[] = []
  {
    await using phi2 = await Phi2.load({ model, onProgress: (fraction) => seen.push(fraction) })
    assert.equal((await phi2.ask(QUESTION)).text, 'The capital of France is Paris.')
    assert.equal(phi2.info.embedded, false)
  }
  assert.deepEqual(
    seen,
    [...seen].sort((a, b) => a - b),
  )
  assert.ok(seen.some((fraction) => fraction > 0.9) && seen.at(-1)! <= 1)
  const asked = hub.requests.length
  await using again = await Phi2.load({ model })
  assert.equal(again.info.path, (await pull({ model })).path)
  assert.equal(hub.requests.length, asked)
})

test('an abort during the download of a load rejects with the signal’s reason', async () => {
  const slow = await hubServer({ 'tiny.gguf': readFileSync(tinyModelPath()) }, { delay: 50 })
  process.env.HF_ENDPOINT = slow.url
  const controller = new AbortController()
  const reason = new Error('changed my mind')
  const load = Phi2.load({
    model: 'hf:org/name/tiny.gguf',
    signal: controller.signal,
    onProgress: () => controller.abort(reason),
  })
  await assert.rejects(load, reason)
  const [entry] = await listCache()
  assert.deepEqual([entry?.name, entry?.complete], ['hf:org/name/tiny.gguf', false])
  await slow[Symbol.asyncDispose]()
})

test('a download that is no Phi-2 is refused as any file is', async () => {
  await assert.rejects(Phi2.load({ model: 'hf:org/name/novel.gguf' }), { code: 'PHI2_INVALID_GGUF' })
})

test('a name loads the file in the cache, and without a name the best one there is loaded', async () => {
  const put = (name: string) => {
    const path = namedModelPath(name)
    mkdirSync(dirname(path), { recursive: true })
    copyFileSync(tinyModelPath(), path)
    return path
  }
  const [q8, q4] = [put('q8_0'), put('q4_k_m')]
  for (const [model, path] of [
    ['Q8_0', q8],
    [undefined, q4],
  ] as const) {
    await using phi2 = await Phi2.load(model === undefined ? {} : { model })
    assert.deepEqual([phi2.info.path, phi2.info.embedded], [path, false])
  }
})

const tiny = tinyCheckpoint()
const { checkpoint } = catalog
const known = { models: [], checkpoint: { ...checkpoint, files: {}, weights: [] } }

/** A hub that has the small checkpoint, and what a pull from it alone needs. */
async function checkpointHub() {
  assert.ok('folder' in tiny)
  const names = readdirSync(tiny.folder)
  const origin = await hubServer(Object.fromEntries(names.map((name) => [name, readFileSync(join(tiny.folder, name))])))
  const environment = { PHI2_CACHE: process.env.PHI2_CACHE, HF_ENDPOINT: origin.url }
  return { origin, context: { catalog: known, environment } }
}

test('two types are made at once, each from a checkpoint that nobody removes meanwhile', {
  skip: 'skip' in tiny && tiny.skip,
}, async () => {
  const { origin, context } = await checkpointHub()
  await using _ = origin
  let removal: Promise<unknown> | undefined
  const onProgress = ({ step }: PullProgress) => {
    if (step === 'convert') removal ??= removeFromCache('microsoft/phi-2').catch((error) => error.code)
  }
  const make = (convert: 'f16' | 'q4_k_m') => pullFrom({ convert, keepCheckpoint: false, onProgress }, context)
  const made = await Promise.all([make('f16'), make('q4_k_m')])
  assert.equal(await removal, 'PHI2_BUSY')
  for (const { path, bytes } of made) assert.equal(readFileSync(path).length, bytes)
  const entries = await listCache()
  assert.deepEqual(
    entries.map(({ name }) => name),
    ['f16', 'q4_k_m'],
  )
  assert.deepEqual(readdirSync(process.env.PHI2_CACHE!).sort(), ['checkpoints', 'models'])
  assert.deepEqual(readdirSync(join(process.env.PHI2_CACHE!, 'checkpoints')), [])
})

test('a type is made from the checkpoint in the catalog, once for two who ask, and loads by its name', {
  skip: 'skip' in tiny && tiny.skip,
}, async () => {
  const { origin, context } = await checkpointHub()
  await using _ = origin
  const steps = new Set<string>()
  const make = () => pullFrom({ convert: 'q5_k_m', onProgress: ({ step }) => steps.add(step) }, context)
  const left = `${namedModelPath('q5_k_m')}.12345678.partial.abcdef12.partial`
  mkdirSync(dirname(left), { recursive: true })
  writeFileSync(left, 'of a process that was killed')
  const [one, two] = await Promise.all([make(), make()])
  assert.equal(one.path, namedModelPath('q5_k_m'))
  assert.deepEqual([one.cached, two.cached].sort(), [false, true])
  assert.deepEqual({ ...one, cached: two.cached }, two)
  assert.ok(['convert', 'quantize'].every((step) => steps.has(step)))
  await using phi2 = await Phi2.load({ model: 'q5_k_m' })
  assert.deepEqual([phi2.info.fileType, phi2.info.warnings], ['Q5_K - Medium', []])
  const entries = await listCache()
  assert.deepEqual(
    entries.map(({ converted, name }) => [name, converted]),
    [
      ['microsoft/phi-2', undefined],
      ['q5_k_m', true],
    ],
  )
  assert.equal(existsSync(left), false)
})
