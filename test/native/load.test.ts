import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { Phi2Error } from '../../src/errors.js'
import { tinyModelPath } from '../../src/models/resolve.js'
import { packageRoot } from '../../src/package-root.js'
import { Phi2 } from '../../src/phi2.js'
import type { LoadOptions } from '../../src/types.js'
import { temporaryFolder } from '../helpers/model.js'

const folder = temporaryFolder()
const tiny = tinyModelPath()

async function refusal(options: LoadOptions): Promise<Phi2Error> {
  try {
    const phi2 = await Phi2.load(options)
    await phi2.close()
  } catch (error) {
    assert.ok(error instanceof Phi2Error, String(error))
    return error
  }
  return assert.fail('it was loaded')
}

function copyOfTiny(name: string): string {
  const path = join(folder, name)
  copyFileSync(tiny, path)
  return path
}

function overwrite(path: string, find: string, replacement: string): void {
  const at = readFileSync(path).indexOf(find)
  assert.ok(at > 0 && find.length === replacement.length)
  const file = openSync(path, 'r+')
  writeSync(file, replacement, at)
  closeSync(file)
}

test('info tells what was loaded and where it runs', async () => {
  await using phi2 = await Phi2.load({ model: 'tiny', threads: 1, contextSize: 512, maxSequences: 3, batchSize: 64 })
  const { info } = phi2
  assert.equal(info.embedded, true)
  assert.equal(info.path, tiny)
  assert.equal(info.name, 'phi-2-tiny')
  assert.equal(info.fileType, 'Q8_0')
  assert.equal(info.headSize, 80)
  assert.equal(info.usedVocabularySize, 50295)
  assert.deepEqual(
    [info.contextSize, info.sequenceSize, info.batchSize, info.microBatchSize, info.maxSequences, info.threads],
    [512, 512, 64, 64, 3, 1],
  )
  assert.equal(info.device, 'CPU')
  assert.deepEqual(info.warnings, [])
})

test('a step that is cut into micro-batches gives the answer of a step in one piece', async () => {
  const prompt = `${'Paris is a city in France. '.repeat(20)}\nThe capital of France is`
  const answers: string[] = []
  for (const sizes of [{}, { microBatchSize: 32 }, { batchSize: 64, microBatchSize: 40 }]) {
    await using phi2 = await Phi2.load({ model: 'tiny', ...sizes })
    const { batchSize = 512, microBatchSize = batchSize } = sizes as LoadOptions
    assert.deepEqual([phi2.info.batchSize, phi2.info.microBatchSize], [batchSize, microBatchSize])
    answers.push((await phi2.complete(prompt, { maxTokens: 8 })).text)
  }
  assert.ok(answers[0] !== '')
  assert.deepEqual(new Set(answers).size, 1)
})

test('progress goes from 0 to 1 and never back', async () => {
  const seen: number[] = []
  await using phi2 = await Phi2.load({ model: 'tiny', onProgress: (fraction) => seen.push(fraction) })
  assert.ok(phi2)
  assert.ok(seen.length > 0)
  assert.deepEqual(
    seen,
    [...seen].sort((a, b) => a - b),
  )
  assert.ok(seen[0]! >= 0 && seen.at(-1)! <= 1)
})

test('an aborted load rejects with the signal’s reason', async () => {
  const reason = new Error('changed my mind')
  await assert.rejects(Phi2.load({ model: 'tiny', signal: AbortSignal.abort(reason) }), reason)
  const controller = new AbortController()
  const load = Phi2.load({ model: 'tiny', signal: controller.signal })
  controller.abort(reason)
  await assert.rejects(load, reason)
})

test('a missing file, a folder and an empty file are told apart', async () => {
  assert.equal((await refusal({ model: join(folder, 'nothing.gguf') })).code, 'PHI2_MODEL_NOT_FOUND')
  assert.equal((await refusal({ model: folder })).code, 'PHI2_MODEL_NOT_FOUND')
  const empty = join(folder, 'empty.gguf')
  writeFileSync(empty, '')
  assert.equal((await refusal({ model: empty })).code, 'PHI2_INVALID_GGUF')
})

test('a file that is no GGUF is refused', async () => {
  const path = join(folder, 'text.gguf')
  writeFileSync(path, 'version https://git-lfs.github.com/spec/v1\n')
  const error = await refusal({ model: path })
  assert.equal(error.code, 'PHI2_INVALID_GGUF')
  assert.match(error.message, /GGUF/)
})

test('a truncated file is refused wherever it was cut', async () => {
  const path = copyOfTiny('truncated.gguf')
  for (const size of [43_000_000, 20_000_000, 3_000_000, 2_000_000, 1_000_000, 5000, 100, 24, 8, 4]) {
    truncateSync(path, size)
    const error = await refusal({ model: path })
    assert.equal(error.code, 'PHI2_INVALID_GGUF', `${size} bytes: ${error.message}`)
    assert.match(error.message, /truncated|only/)
  }
})

test('another architecture is refused by name', async () => {
  const path = copyOfTiny('other.gguf')
  overwrite(
    path,
    'general.architecture\x08\0\0\0\x04\0\0\0\0\0\0\0phi2',
    'general.architecture\x08\0\0\0\x04\0\0\0\0\0\0\0qwen',
  )
  const error = await refusal({ model: path })
  assert.equal(error.code, 'PHI2_NOT_PHI2')
  assert.match(error.message, /qwen/)
})

test('a file with a tensor too few says which', async () => {
  const path = copyOfTiny('renamed.gguf')
  overwrite(path, 'blk.3.ffn_down.weight', 'blk.3.ffn_dawn.weight')
  const error = await refusal({ model: path })
  assert.equal(error.code, 'PHI2_MODEL_LOAD_FAILED')
  assert.match(error.message, /blk\.3\.ffn_down\.weight/)
})

test('a file without a pre-tokenizer gets phi-2’s, with a warning, and splits text alike', async () => {
  const path = copyOfTiny('legacy.gguf')
  overwrite(path, 'tokenizer.ggml.pre', 'tokenizer.ggml.xyz')
  await using legacy = await Phi2.load({ model: path })
  await using phi2 = await Phi2.load({ model: 'tiny' })
  assert.equal(legacy.info.warnings.length, 1)
  assert.match(legacy.info.warnings[0]!, /pre-tokenizer/)
  const text = "It's 2024! We'll   test\n\n\tthe splitting: naïve café №12345."
  assert.deepEqual(await legacy.tokenize(text), await phi2.tokenize(text))
})

test('quantized KV caches are refused with the reason', async () => {
  for (const kvType of ['q8_0', 'q4_0', 'iq4_nl']) {
    const error = await refusal({ model: 'tiny', kvType: kvType as 'f16' })
    assert.equal(error.code, 'PHI2_UNSUPPORTED_KV_TYPE')
    assert.match(error.message, /80/)
  }
  for (const kvType of ['f16', 'bf16', 'f32'] as const) {
    await using phi2 = await Phi2.load({ model: 'tiny', kvType })
    assert.equal((await phi2.ask('What is the capital of France?')).text, 'The capital of France is Paris.')
  }
})

test('wrong options are refused before anything is loaded', async () => {
  for (const options of [
    { threads: 0 },
    { contextSize: 1.5 },
    { modell: 'tiny' },
    { model: 5 },
    { flashAttention: 'on' },
    { kvType: 'f64' },
    null,
    'tiny',
  ]) {
    await assert.rejects(Phi2.load(options as LoadOptions), { code: 'PHI2_INVALID_OPTION' })
  }
})

test('a path with spaces and characters outside ASCII works', async () => {
  const place = join(folder, 'mødel ファイル')
  mkdirSync(place)
  const path = join(place, 'phi 2 – ß.gguf')
  copyFileSync(tiny, path)
  await using phi2 = await Phi2.load({ model: path })
  assert.equal(phi2.info.embedded, false)
})

test('flash attention on and off say the same', async () => {
  const texts: string[] = []
  for (const flashAttention of [true, false, 'auto'] as const) {
    await using phi2 = await Phi2.load({ model: 'tiny', flashAttention })
    texts.push((await phi2.ask('Why is the sky blue?')).text)
  }
  assert.equal(new Set(texts).size, 1)
})

test('hundreds of damaged headers are refused, or loaded, but never end the process', { timeout: 300_000 }, () => {
  // In a child: an assertion in the engine would take this test's process along.
  const script = `
    import { readFileSync, writeFileSync } from 'node:fs'
    const { Phi2 } = await import(${JSON.stringify(pathToFileURL(join(packageRoot(), 'src', 'phi2.ts')).href)})
    const original = readFileSync(${JSON.stringify(tiny)})
    const path = ${JSON.stringify(join(folder, 'damaged.gguf'))}
    let seed = 12345
    const random = (n) => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % n
    const interesting = [...original.subarray(0, 1600).keys()]
    const tail = original.indexOf('output_norm.weight')
    const outcomes = {}
    for (let round = 0; round < 200; round++) {
      const damaged = Buffer.from(original)
      for (let i = 0; i <= random(3); i++) {
        const at = random(2) === 0 ? interesting[random(interesting.length)] : tail - 3000 + random(6000)
        damaged[at] = [0, 1, 255, 128, damaged[at] ^ (1 << random(8)), random(256)][random(6)]
      }
      writeFileSync(path, damaged)
      let outcome = 'loaded'
      try {
        const phi2 = await Phi2.load({ model: path, contextSize: 64 })
        await phi2.complete('Hello', { maxTokens: 2 }).catch((error) => { outcome = 'ran: ' + error.code })
        await phi2.close()
      } catch (error) { outcome = error.code ?? String(error) }
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    }
    console.log(JSON.stringify(outcomes))`
  const file = join(folder, 'damage.mts')
  writeFileSync(file, script)
  const child = spawnSync(process.execPath, ['--import', 'tsx', file], {
    encoding: 'utf8',
    cwd: packageRoot(),
    timeout: 280_000,
  })
  assert.equal(child.signal, null, child.stderr)
  assert.equal(child.status, 0, child.stderr)
  const outcomes = JSON.parse(child.stdout) as Record<string, number>
  assert.ok((outcomes.PHI2_INVALID_GGUF ?? 0) > 50, child.stdout)
  for (const outcome of Object.keys(outcomes)) assert.match(outcome, /^(loaded|ran: PHI2_\w+|PHI2_\w+)$/, child.stdout)
})
