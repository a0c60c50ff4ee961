import assert from 'node:assert/strict'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { type PerplexityOptions, perplexity, quantize, readHeader } from '../../gguf/index.js'
import { evaluate } from '../../src/evaluate.js'
import { tinyModelPath } from '../../src/models/resolve.js'
import { packageRoot } from '../../src/package-root.js'
import { loadTiny, temporaryFolder } from '../helpers/model.js'

// Made by the generator of the embedded model's corpus with a seed of its own: seven pages that it was not trained on.
const text = readFileSync(join(packageRoot(), 'test', 'fixtures', 'evaluation.txt'), 'utf8').replace(/\n$/, '')
const folder = temporaryFolder()
const q4 = join(folder, 'q4_0.gguf')
const base = { model: 'tiny', threads: 1 } as const

before(() => quantize({ from: tinyModelPath(), to: q4, type: 'q4_0', allowRequantize: true }))

function near(actual: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not ${expected} ± ${tolerance}`)
}

/** What llama-perplexity says, built as bench/engine-tools.ts does: `-m phi-2-tiny-q8_0.gguf -f evaluation.txt -t 1` and … */
const recorded = [
  { arguments: '-c 64 -b 512 --chunks 11', contextSize: 64, batchSize: 512, chunks: 11, ppl: 1.7463, error: 0.14106 },
  { arguments: '-c 128 -b 128 --chunks 4', contextSize: 128, batchSize: 128, chunks: 4, ppl: 1.4091, error: 0.09961 },
  { arguments: '-c 512 -b 512 --chunks 2', contextSize: 512, batchSize: 512, chunks: 2, ppl: 1.4747, error: 0.08759 },
  { arguments: '-c 512 -b 128 --chunks 2', contextSize: 512, batchSize: 128, chunks: 2, ppl: 1.4747, error: 0.08759 },
]

for (const { arguments: args, ppl, error, ...options } of recorded) {
  test(`the figures are those of llama-perplexity ${args}`, async () => {
    const result = await perplexity({ ...base, ...options, text })
    near(result.perplexity, ppl, 0.001)
    near(result.error, error, 0.001)
    assert.equal(result.chunks, options.chunks)
    assert.equal(result.tokens, options.chunks * (options.contextSize / 2 - 1))
    assert.deepEqual([result.contextSize, result.embedded, result.model], [options.contextSize, true, tinyModelPath()])
    assert.deepEqual(result.warnings, [])
  })
}

test('one chunk’s perplexity is that of the log-probabilities which the engine gives for its tokens', async () => {
  const contextSize = 192
  const { perChunk } = await perplexity({ ...base, text, contextSize, chunks: 1 })
  assert.equal(perChunk.length, 1)
  const phi2 = await loadTiny()
  const tokens = Int32Array.from(await phi2.tokenize(text, { special: false })).subarray(0, contextSize)
  const { engine, dispatcher } = phi2.internals
  const { logprobs } = await evaluate(engine, dispatcher, tokens, { logprobs: true })
  const scored = logprobs.subarray(contextSize / 2) // the first is of token 1
  assert.equal(scored.length, contextSize / 2 - 1)
  const mean = scored.reduce((sum, logprob) => sum + logprob, 0) / scored.length
  near(perChunk[0]!, Math.exp(-mean), 1e-3)
})

test('the figures fit together', async () => {
  const result = await perplexity({ ...base, text, contextSize: 64, chunks: 6 })
  near(result.perplexity, Math.exp(result.meanNll), 1e-12)
  // chunks of equal length: the mean of the logarithms
  near(result.meanNll, result.perChunk.reduce((sum, value) => sum + Math.log(value), 0) / 6, 1e-9)
  const [low, high] = result.interval95
  assert.ok(low < result.perplexity && result.perplexity < high)
  near(high / result.perplexity, Math.exp((1.96 * result.error) / result.perplexity), 1e-9)
  assert.ok(result.seconds > 0)
  assert.equal(result.comparison, undefined)
})

test('a model does not differ from itself', async () => {
  const { perplexity: own, comparison } = await perplexity({
    ...base,
    against: 'tiny',
    text,
    contextSize: 64,
    chunks: 4,
  })
  assert.ok(comparison)
  assert.deepEqual([comparison.kld.value, comparison.kld.max, comparison.rmsDeltaP.value], [0, 0, 0])
  assert.deepEqual(comparison.sameTop, { value: 1, error: 0 })
  assert.deepEqual(comparison.ratio, { value: 1, error: 0 })
  assert.deepEqual(comparison.logRatio, { value: 0, error: 0 })
  assert.deepEqual(comparison.difference, { value: 0, error: 0 })
  near(comparison.correlation, 1, 1e-12)
  assert.equal(comparison.reference.value, own)
})

test('the comparison of a quantized model is that of llama-perplexity --kl-divergence', async () => {
  // -c 128 -b 128 --chunks 4 --kl-divergence-base; the tool keeps the reference's logits in 16 bits
  const result = await perplexity({ ...base, model: q4, against: 'tiny', text, contextSize: 128, chunks: 4 })
  near(result.perplexity, 1.404656, 0.001)
  const { comparison } = result
  assert.ok(comparison)
  near(comparison.reference.value, 1.409089, 0.001)
  near(comparison.correlation, 0.9985, 0.0005)
  near(comparison.logRatio.value, -0.003151, 0.001)
  near(comparison.logRatio.error, 0.004065, 0.001)
  near(comparison.ratio.value, 0.996854, 0.001)
  near(comparison.difference.value, -0.004433, 0.001)
  near(comparison.difference.error, 0.00584, 0.001)
  near(comparison.kld.value, 0.00224, 0.0005)
  near(comparison.kld.error, 0.000406, 0.0002)
  near(comparison.kld.max, 0.059711, 0.01)
  near(comparison.kld.percentiles['99%'], 0.029807, 0.005)
  near(comparison.kld.percentiles['50%'], 0.000064, 0.00005)
  assert.ok(comparison.kld.min >= 0)
  near(comparison.deltaP.value, 0.00065, 0.0005)
  near(comparison.deltaP.min, -0.10284, 0.01)
  near(comparison.rmsDeltaP.value, 0.01646, 0.002)
  near(comparison.sameTop.value, 0.99603, 0.004)
  near(comparison.sameTop.error, 0.00397, 0.004)
})

test('progress goes from 0 to 1 with the perplexity so far', async () => {
  const seen: [number, number | undefined][] = []
  const result = await perplexity({
    ...base,
    text,
    contextSize: 64,
    batchSize: 64,
    chunks: 5,
    onProgress: (fraction, sofar) => seen.push([fraction, sofar]),
  })
  assert.ok(seen.length >= 1)
  const fractions = seen.map(([fraction]) => fraction)
  assert.deepEqual(
    fractions,
    [...fractions].sort((a, b) => a - b),
  )
  const [last, estimate] = seen.at(-1)!
  if (last === 1) near(estimate!, result.perplexity, 1e-5)
  for (const [, sofar] of seen) assert.ok(sofar === undefined || sofar > 1)
})

test('an aborted measurement rejects with the signal’s reason, wherever it was', async () => {
  const reason = new Error('enough')
  await assert.rejects(perplexity({ ...base, text, signal: AbortSignal.abort(reason) }), reason)
  for (const delay of [0, 5, 400]) {
    const controller = new AbortController()
    setTimeout(() => controller.abort(reason), delay)
    // long enough for any machine
    await assert.rejects(perplexity({ ...base, text: text.repeat(20), signal: controller.signal }), reason)
  }
  // while it tokenizes
  const controller = new AbortController()
  setTimeout(() => controller.abort(reason), 150)
  await assert.rejects(perplexity({ ...base, text: text.repeat(2000), signal: controller.signal }), reason)
})

test('a text of less than two chunks is refused, an empty one too', async () => {
  for (const short of ['', 'Once upon a time', 'word '.repeat(120)]) {
    await assert.rejects(perplexity({ ...base, text: short, contextSize: 64 }), {
      name: 'Phi2Error',
      code: 'PHI2_TEXT_TOO_SHORT',
      message: /at least 128\b/,
    })
  }
  assert.equal((await perplexity({ ...base, text: 'word '.repeat(140), contextSize: 64 })).chunks, 2)
})

test('odd texts are read: lone surrogates, NUL, no white space, <|endoftext|> as text', async () => {
  const odd = '\ud800 a\0b <|endoftext|> naïve 𝒳 \u3000 \t\t   \n\n'.repeat(20) + 'x'.repeat(70_000)
  const result = await perplexity({ ...base, text: odd, contextSize: 32, chunks: 3 })
  assert.equal(result.chunks, 3)
  assert.ok(Number.isFinite(result.perplexity))
})

test('a long text has the same tokens as if it had not been tokenized in pieces', async () => {
  const long = `${'It\'s   a long\n\n  text, isn\'t it?\tYes: "12345"…  é\u3000 x \n'.repeat(1500)}end`
  const phi2 = await loadTiny()
  const tokens = await phi2.tokenize(long, { special: false })
  assert.ok(tokens.length > 20_000 && tokens.length < 131_072, `${tokens.length} tokens`)
  await assert.rejects(perplexity({ ...base, text: long, contextSize: 65_536 }), {
    message: new RegExp(`has ${tokens.length} tokens`),
  })
})

test('a context beyond the trained one works and warns', async () => {
  const { warnings, chunks } = await perplexity({ ...base, text, contextSize: 2080, batchSize: 512, chunks: 1 })
  assert.equal(chunks, 1)
  assert.equal(warnings.length, 1)
  assert.match(warnings[0]!, /2080.*trained on 2048/)
})

test('numbers that are not finite are an error, not a result', async () => {
  const path = join(folder, 'nan.gguf')
  copyFileSync(tinyModelPath(), path)
  const { tensors, dataOffset } = await readHeader(path)
  const bytes = readFileSync(path)
  const bias = tensors.find(({ name }) => name === 'output.bias')!
  bytes.writeFloatLE(Number.NaN, dataOffset + bias.offset)
  writeFileSync(path, bytes)
  const refused = { name: 'Phi2Error', code: 'PHI2_DECODE_FAILED', message: /not finite/ }
  await assert.rejects(perplexity({ ...base, model: path, text, contextSize: 64, chunks: 1 }), refused)
  await assert.rejects(perplexity({ ...base, against: path, text, contextSize: 64, chunks: 1 }), refused)
})

test('a reference that splits the text into other tokens is refused', async () => {
  const path = join(folder, 'other-merges.gguf')
  const bytes = readFileSync(tinyModelPath())
  const at = bytes.indexOf('Ġ t') // the first merge
  assert.ok(at > 0)
  bytes.write('Ġ ~', at)
  writeFileSync(path, bytes)
  await assert.rejects(perplexity({ ...base, against: path, text, contextSize: 64, chunks: 1 }), {
    name: 'Phi2Error',
    code: 'PHI2_VOCABULARY_MISMATCH',
  })
})

test('a reference of before September 2024 is read as Phi-2’s all the same, and its warning says whose it is', async () => {
  const path = join(folder, 'legacy.gguf')
  const bytes = readFileSync(tinyModelPath())
  bytes.write('tokenizer.ggml.xyz', bytes.indexOf('tokenizer.ggml.pre'))
  writeFileSync(path, bytes)
  const { warnings, comparison } = await perplexity({ ...base, against: path, text, contextSize: 64, chunks: 1 })
  assert.equal(comparison!.kld.max, 0)
  assert.equal(warnings.length, 1)
  assert.match(warnings[0]!, /^The reference: .*pre-tokenizer/)
})

test('missing models are told apart from wrong options', async () => {
  const missing = { name: 'Phi2Error', code: 'PHI2_MODEL_NOT_FOUND' }
  await assert.rejects(perplexity({ model: join(folder, 'none.gguf'), text }), missing)
  await assert.rejects(perplexity({ ...base, against: join(folder, 'none.gguf'), text }), missing)
  for (const wrong of [
    undefined,
    null,
    {},
    { text: 5 },
    { text, contextSize: 31 },
    { text, contextSize: Number.NaN },
    { text, chunks: 0 },
    { text, batchSize: 1.5 },
    { text, against: 7 },
    { text, stride: 5 },
    { text, threads: -1 },
    { text, kvType: 'q8_0' },
    { text, onProgress: true },
  ]) {
    await assert.rejects(perplexity(wrong as PerplexityOptions), { code: 'PHI2_INVALID_OPTION' })
  }
})
