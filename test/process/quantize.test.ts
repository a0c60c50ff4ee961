import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { writeImatrix } from '../../gguf/imatrix-file.js'
import { readHeader } from '../../gguf/index.js'
import { runChild } from '../helpers/child.js'
import { temporaryFolder } from '../helpers/model.js'
import { writeSmallModel } from '../helpers/small-model.js'
import { noTmpfs, smallDisk } from '../helpers/tmpfs.js'

/** Runs `body` with the toolkit in scope, and expects it to end by itself without a word on stderr. */
async function quietly(body: string): Promise<string> {
  const { code, signal, stdout, stderr } = await runChild(`
    const { quantize, QUANTIZE_TYPES, TENSOR_TYPES } = await import('./gguf/index.js')
    ready()
    const codes = {}
    const attempt = async (options) => {
      const outcome = await quantize(options).then(() => 'written', ({ code }) => code)
      codes[outcome] = (codes[outcome] ?? 0) + 1
    }
    ${body}
    console.log(JSON.stringify(codes))`)
  assert.deepEqual([stderr, signal, code], ['', null, 0])
  return stdout.replace('READY\n', '').trim()
}

// The engine's assertions would end the process.
for (const width of [160, 80, 66]) {
  test(`no type and no option brings the process down on a model with rows of ${width}`, async () => {
    const folder = temporaryFolder()
    const from = join(folder, 'odd.gguf')
    await writeSmallModel(from, { width, layers: 1 })
    const out = await quietly(`
      const from = ${JSON.stringify(from)}, to = ${JSON.stringify(join(folder, 'x.gguf'))}
      for (const type of QUANTIZE_TYPES) {
        await attempt({ from, to, type })
        await attempt({ from, to, type, pure: true, leaveOutputTensor: true })
      }
      for (const type of TENSOR_TYPES) await attempt({ from, to, type: 'q4_0', outputTensorType: type, tokenEmbeddingType: type })`)
    const { written, PHI2_QUANTIZE_FAILED: refused, PHI2_INVALID_OPTION: wrong = 0 } = JSON.parse(out)
    // f32 is what the model is already; blocks of named types do not fit
    assert.equal(refused, 2)
    assert.ok(written >= 59 && wrong >= 6 && written + wrong === 2 * 30 + 16 - 2, out)
    assert.deepEqual((await readdir(folder)).sort(), ['odd.gguf', 'x.gguf'])
  })
}

test('weights and importances at the ends of what is allowed do not bring the process down', async () => {
  const folder = temporaryFolder()
  const from = join(folder, 'extreme.gguf')
  const magnitudes = [0, 1e-44, 1e-30, 1e-15, 1e-8, 1, 65504]
  await writeSmallModel(from, {
    width: 256,
    layers: 1,
    edit: (_, weights) => {
      for (let i = 0; i < weights.length; i++) weights[i]! *= magnitudes[(i >> 4) % 7]! * (i % 31 === 0 ? 1e-9 : 1)
    },
  })
  const imatrix = join(folder, 'imatrix.gguf')
  const { tensors } = await readHeader(from)
  const columns = [0, 1e-44, 1e-30, 1, 1e12]
  const entries = tensors
    .filter(({ name, shape }) => name.startsWith('blk.') && shape.length > 1)
    .map(({ name, shape }) => {
      const sums = Float32Array.from({ length: shape[0]! }, (_, i) => columns[(i >> 5) % 5]!)
      return [name, { sums, counts: Float32Array.of(1) }] as const
    })
  await writeImatrix(imatrix, { datasets: [], chunkCount: 1, chunkSize: 1, entries: new Map(entries) })
  const out = await quietly(`
    const from = ${JSON.stringify(from)}, to = ${JSON.stringify(join(folder, 'x.gguf'))}
    for (const type of ['iq2_xxs', 'iq3_s', 'q2_k_s', 'q4_k_m', 'q4_0', 'f16']) {
      await attempt({ from, to, type, ...(type !== 'f16' && { imatrix: ${JSON.stringify(imatrix)} }) })
    }`)
  assert.equal(out, '{"written":6}')
})

test('damaged weights are told of in the error alone', async () => {
  const folder = temporaryFolder()
  const from = join(folder, 'damaged.gguf')
  await writeSmallModel(from, { width: 80, layers: 1, edit: (_, weights) => weights.fill(Number.NaN) })
  const out = await quietly(`
    for (const type of ['f16', 'q8_0', 'bf16']) {
      await attempt({ from: ${JSON.stringify(from)}, to: ${JSON.stringify(join(folder, 'x.gguf'))}, type })
    }`)
  assert.equal(out, '{"PHI2_QUANTIZE_FAILED":3}')
})

test('a disk that is too small is told before the work, and nothing is left', { skip: noTmpfs }, async (t) => {
  const disk = smallDisk(t, 1024 * 1024)
  const from = join(temporaryFolder(), 'model.gguf')
  await writeSmallModel(from, { width: 256, layers: 2 })
  const out = await quietly(
    `await attempt({ from: ${JSON.stringify(from)}, to: ${JSON.stringify(join(disk, 'x.gguf'))}, type: 'q8_0' })`,
  )
  assert.equal(out, '{"PHI2_NO_SPACE":1}')
  assert.deepEqual(await readdir(disk), [])
})
