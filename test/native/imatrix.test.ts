import assert from 'node:assert/strict'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { f16ToF32 } from '../../gguf/half.js'
import { readImatrix } from '../../gguf/imatrix-file.js'
import { computeImatrix, type ImatrixOptions, perplexity, quantize, readHeader } from '../../gguf/index.js'
import { tinyModelPath } from '../../src/models/resolve.js'
import { packageRoot } from '../../src/package-root.js'
import { loadTiny, temporaryFolder } from '../helpers/model.js'

const text = readFileSync(join(packageRoot(), 'test', 'fixtures', 'evaluation.txt'), 'utf8').replace(/\n$/, '')
const folder = temporaryFolder()
const base = { model: 'tiny', threads: 1, text } as const

function nearly(actual: number, expected: number, share: number, what = ''): void {
  assert.ok(
    Math.abs(actual - expected) <= share * Math.abs(expected),
    `${what} ${actual} is not ${expected} ± ${share}`,
  )
}

test('the sums are those of llama-imatrix', async () => {
  const to = join(folder, 'recorded.gguf')
  const result = await computeImatrix({
    ...base,
    to,
    contextSize: 128,
    batchSize: 256,
    chunks: 4,
    processOutput: true,
    dataset: 'evaluation.txt',
  })
  assert.deepEqual([result.path, result.entries, result.chunks, result.contextSize], [to, 31, 4, 128])
  assert.equal(result.bytes, readFileSync(to).length)
  nearly(result.perplexity, 1.4091, 0.001)

  const { datasets, chunkCount, chunkSize, entries } = await readImatrix(to)
  assert.deepEqual([datasets, chunkCount, chunkSize], [['evaluation.txt'], 4, 128])
  // llama-imatrix -m phi-2-tiny-q8_0.gguf -f evaluation.txt -t 1 -c 128 -b 256 --chunks 4 --process-output
  for (const [name, columns, total, first] of [
    ['blk.0.attn_q.weight', 320, 44047.105, 174.44191],
    ['blk.2.ffn_down.weight', 1280, 111487.87, 26.3439],
    ['blk.4.attn_output.weight', 320, 1005975.05, 7126.3125],
    ['blk.4.ffn_down.weight', 1280, 2619342.66, 2243.21416],
    ['output.weight', 320, 213565.994, 1216.06787],
  ] as const) {
    const { sums, counts } = entries.get(name)!
    assert.deepEqual([sums.length, [...counts]], [columns, [512]], name)
    nearly(
      sums.reduce((sum, value) => sum + value),
      total,
      0.002,
      name,
    )
    nearly(sums[0]!, first, 0.01, name)
  }
  // one norm feeds all four
  for (const name of ['attn_k', 'attn_v', 'ffn_up']) {
    assert.deepEqual(entries.get(`blk.0.${name}.weight`)!.sums, entries.get('blk.0.attn_q.weight')!.sums)
  }
})

test('the first block’s sums are those of the normalized token embeddings', async () => {
  const to = join(folder, 'first.gguf')
  await computeImatrix({ ...base, to, contextSize: 64, batchSize: 40, chunks: 2 })
  const { entries } = await readImatrix(to)
  assert.ok(!entries.has('output.weight'))
  const found = entries.get('blk.0.attn_q.weight')!
  assert.deepEqual([...found.counts], [128])

  const phi2 = await loadTiny()
  const tokens = (await phi2.tokenize(text, { special: false })).slice(0, 128)
  const expected = await squaredNorms(tokens)
  for (const [column, sum] of expected.entries()) nearly(found.sums[column]!, sum, 1e-4, `column ${column}`)
})

/** Sums of the squares of LayerNorm(embedding) over the tokens, from the bytes of the model file. */
async function squaredNorms(tokens: readonly number[]): Promise<Float64Array> {
  const bytes = readFileSync(tinyModelPath())
  const { tensors, dataOffset } = await readHeader(tinyModelPath())
  const offsetOf = (name: string) => dataOffset + tensors.find((tensor) => tensor.name === name)!.offset
  const width = 320
  const sums = new Float64Array(width)
  for (const token of tokens) {
    const row = dequantizeQ8(bytes.subarray(offsetOf('token_embd.weight') + (token * width * 34) / 32), width)
    const mean = row.reduce((sum, value) => sum + value, 0) / width
    const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width
    for (let column = 0; column < width; column++) {
      const weight = bytes.readFloatLE(offsetOf('blk.0.attn_norm.weight') + 4 * column)
      const bias = bytes.readFloatLE(offsetOf('blk.0.attn_norm.bias') + 4 * column)
      sums[column]! += (((row[column]! - mean) / Math.sqrt(variance + 1e-5)) * weight + bias) ** 2
    }
  }
  return sums
}

/** Blocks of 32 signed bytes behind one F16 scale. */
function dequantizeQ8(bytes: Buffer, length: number): Float64Array {
  const scale = new Float32Array(1)
  return Float64Array.from({ length }, (_, index) => {
    const block = Math.floor(index / 32) * 34
    f16ToF32(Uint16Array.of(bytes.readUInt16LE(block)), scale)
    return scale[0]! * bytes.readInt8(block + 2 + (index % 32))
  })
}

test('quantize takes the file', async () => {
  const imatrix = join(folder, 'for-quantize.gguf')
  await computeImatrix({ ...base, to: imatrix, contextSize: 64, chunks: 4, dataset: 'evaluation.txt' })
  const weighted = join(folder, 'weighted.gguf')
  const plain = join(folder, 'plain.gguf')
  const options = { from: tinyModelPath(), type: 'q4_0', allowRequantize: true } as const
  await quantize({ ...options, to: weighted, imatrix })
  await quantize({ ...options, to: plain })
  const { metadata } = await readHeader(weighted)
  assert.equal(metadata.get('quantize.imatrix.dataset')?.value, 'evaluation.txt')
  assert.equal(metadata.get('quantize.imatrix.chunks_count')?.value, 4)
  const comparisons = []
  for (const model of [weighted, plain]) {
    const { comparison } = await perplexity({ ...base, model, against: 'tiny', contextSize: 64, chunks: 8 })
    comparisons.push(comparison!.kld.value)
  }
  assert.ok(comparisons[0]! < comparisons[1]!, `with the matrix ${comparisons[0]}, without ${comparisons[1]}`)
})

test('batches of any size give the same sums', async () => {
  const all = []
  for (const batchSize of [33, 64, 256]) {
    const to = join(folder, `batch-${batchSize}.gguf`)
    await computeImatrix({ ...base, to, contextSize: 64, batchSize, chunks: 3 })
    all.push((await readImatrix(to)).entries)
  }
  const [first, ...others] = all
  for (const other of others) {
    for (const [name, { sums, counts }] of first!) {
      assert.deepEqual(other.get(name)!.counts, counts)
      const total = sums.reduce((sum, value) => sum + value)
      nearly(
        other.get(name)!.sums.reduce((sum, value) => sum + value),
        total,
        0.002,
        name,
      )
    }
  }
})

test('an aborted computation rejects with the signal’s reason and writes nothing', async () => {
  const place = join(folder, 'aborted')
  mkdirSync(place)
  const reason = new Error('enough')
  for (const delay of [0, 100, 600]) {
    const controller = new AbortController()
    setTimeout(() => controller.abort(reason), delay)
    // long enough for any machine
    const long = text.repeat(20)
    const running = computeImatrix({ ...base, text: long, to: join(place, 'x.gguf'), signal: controller.signal })
    await assert.rejects(running, reason)
  }
  assert.deepEqual(readdirSync(place), [])
})

test('what would end in a loss is refused before the work', async () => {
  const none = { onProgress: () => assert.fail('it has begun') }
  const io = { name: 'Phi2Error', code: 'PHI2_IO' }
  await assert.rejects(computeImatrix({ ...base, ...none, to: join(folder, 'no', 'x.gguf') }), io)
  await assert.rejects(computeImatrix({ ...base, ...none, to: folder }), io)
  const older = join(folder, 'older.gguf')
  writeFileSync(older, 'older')
  await assert.rejects(computeImatrix({ ...base, ...none, to: older, overwrite: false }), io)
  assert.equal(readFileSync(older, 'utf8'), 'older')

  const model = join(folder, 'model.gguf')
  copyFileSync(tinyModelPath(), model)
  await assert.rejects(computeImatrix({ ...base, ...none, model, to: model }), { code: 'PHI2_INVALID_OPTION' })
  const short = computeImatrix({ ...base, ...none, text: 'too short', to: join(folder, 'short.gguf') })
  await assert.rejects(short, { code: 'PHI2_TEXT_TOO_SHORT' })
  assert.ok(!existsSync(join(folder, 'short.gguf')))
})

test('an older file is replaced when the new one is complete', async () => {
  const to = join(folder, 'replaced.gguf')
  writeFileSync(to, 'older')
  await computeImatrix({ ...base, to, contextSize: 32, chunks: 1 })
  assert.equal((await readImatrix(to)).chunkCount, 1)
})

test('activations that are not finite are an error', async () => {
  const path = join(folder, 'nan.gguf')
  const bytes = readFileSync(tinyModelPath())
  const { tensors, dataOffset } = await readHeader(tinyModelPath())
  const norm = tensors.find(({ name }) => name === 'blk.2.attn_norm.bias')!
  bytes.writeFloatLE(Number.NaN, dataOffset + norm.offset + 4 * 7)
  writeFileSync(path, bytes)
  const to = join(folder, 'nan.imatrix.gguf')
  await assert.rejects(computeImatrix({ ...base, model: path, to, contextSize: 64, chunks: 1 }), {
    name: 'Phi2Error',
    code: 'PHI2_DECODE_FAILED',
    message: /blk\.2\.\w+\.weight are not finite/,
  })
  assert.ok(!existsSync(to))
})

test('wrong options throw', async () => {
  for (const wrong of [
    undefined,
    { ...base },
    { ...base, to: '' },
    { ...base, to: 'x', processOutput: 1 },
    { ...base, to: 'x', dataset: 5 },
    { ...base, to: 'x', overwrite: 'no' },
    { ...base, to: 'x', stride: 5 },
  ]) {
    await assert.rejects(computeImatrix(wrong as ImatrixOptions), { code: 'PHI2_INVALID_OPTION' })
  }
})
