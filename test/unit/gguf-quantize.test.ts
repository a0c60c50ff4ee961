import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { convert, type QuantizeOptions, quantize, synth, writeGguf } from '../../gguf/index.js'
import { Phi2Error } from '../../src/errors.js'
import type { NativeQuantizeOptions } from '../../src/native.js'
import { temporaryFolder, writeCheckpoint } from './gguf-fixture.js'

/**
 * A stand-in for the native addon: it copies the file and notes the call. Types other than those of the tests below
 * fail as the addon does, after having written half of the file. What the engine itself does is tested with the addon.
 */
const ADDON = `
const { copyFileSync, writeFileSync } = require('node:fs')
globalThis.quantizeCalls = []
exports.initBackend = () => {}
exports.stopForExit = () => {}
exports.quantize = async (options) => {
  globalThis.quantizeCalls.push(options)
  if (['q8_0', 'q4_k_m', 'iq4_nl'].includes(options.type)) return copyFileSync(options.path_in, options.path_out)
  writeFileSync(options.path_out, 'half')
  throw Object.assign(new Error('requantizing is disabled'), { code: 'PHI2_QUANTIZE_FAILED' })
}`
const addonFolder = mkdtempSync(join(tmpdir(), 'phi2-addon-'))
writeFileSync(join(addonFolder, 'phi2.cjs'), ADDON)
process.env.PHI2_BINDING = join(addonFolder, 'phi2.cjs')
after(() => rmSync(addonFolder, { recursive: true, force: true }))

function calls(): NativeQuantizeOptions[] {
  return (globalThis as unknown as { quantizeCalls: NativeQuantizeOptions[] }).quantizeCalls
}

async function smallGguf(folder: string): Promise<string> {
  const checkpoint = join(folder, 'hf')
  await mkdir(checkpoint)
  await writeCheckpoint(checkpoint)
  const path = join(folder, 'f16.gguf')
  await convert({ from: checkpoint, to: path })
  return path
}

test('quantize hands the options over in llama.cpp’s words and renames the result', async (t) => {
  const folder = await temporaryFolder(t)
  const from = await smallGguf(folder)
  const to = join(folder, 'q.gguf')
  const result = await quantize({ from, to, type: 'q4_k_m', threads: 3, allowRequantize: true, pure: true })
  const { path_out, ...call } = calls().at(-1)!
  assert.deepEqual(call, { path_in: from, type: 'q4_k_m', n_threads: 3, allow_requantize: true, pure: true })
  assert.ok(path_out !== to && path_out.startsWith(folder))
  assert.deepEqual(result, { path: to, bytes: (await stat(to)).size })
  assert.deepEqual((await readdir(folder)).sort(), ['f16.gguf', 'hf', 'q.gguf'])
})

test('by default all processors work, and a quantized file is not taken', async (t) => {
  const folder = await temporaryFolder(t)
  await quantize({ from: await smallGguf(folder), to: join(folder, 'q.gguf'), type: 'q8_0' })
  const { n_threads, allow_requantize, pure } = calls().at(-1)!
  assert.ok(n_threads >= 1)
  assert.deepEqual([allow_requantize, pure], [false, false])
})

test('a failure of the engine keeps its code and leaves nothing, or the older file', async (t) => {
  const folder = await temporaryFolder(t)
  const from = await smallGguf(folder)
  const to = join(folder, 'q.gguf')
  const failed = (error: unknown) => error instanceof Phi2Error && error.code === 'PHI2_QUANTIZE_FAILED'
  await assert.rejects(quantize({ from, to, type: 'q2_k' }), failed)
  assert.deepEqual((await readdir(folder)).sort(), ['f16.gguf', 'hf'])
  await writeFile(to, 'older')
  await assert.rejects(quantize({ from, to, type: 'q2_k' }), failed)
  assert.equal(await readFile(to, 'utf8'), 'older')
})

test('the engine never sees a damaged file or another architecture', async (t) => {
  const folder = await temporaryFolder(t)
  const from = join(folder, 'x.gguf')
  const to = join(folder, 'q.gguf')
  const before = calls().length
  await assert.rejects(quantize({ from, to, type: 'q8_0' }), { code: 'PHI2_MODEL_NOT_FOUND' })
  await writeFile(from, 'GGUF')
  await assert.rejects(quantize({ from, to, type: 'q8_0' }), { code: 'PHI2_INVALID_GGUF' })
  await writeGguf(from, {
    metadata: new Map([['general.architecture', { type: 'string', value: 'llama' }]]),
    tensors: [],
  })
  await assert.rejects(quantize({ from, to, type: 'q8_0' }), {
    code: 'PHI2_NOT_PHI2',
    message: /"llama"; expected "phi2"/,
  })
  assert.equal(calls().length, before)
})

test('wrong options throw', async () => {
  const wrong = (options: object) => quantize({ from: 'x', to: 'y', type: 'q8_0', ...options } as QuantizeOptions)
  await assert.rejects(wrong({ type: 'q9_9' }), { name: 'RangeError', code: 'PHI2_INVALID_OPTION' })
  await assert.rejects(wrong({ threads: 0 }), { name: 'RangeError', code: 'PHI2_INVALID_OPTION' })
  await assert.rejects(wrong({ threads: '2' }), { name: 'TypeError', code: 'PHI2_INVALID_OPTION' })
  await assert.rejects(wrong({ from: 5 }), { name: 'TypeError', code: 'PHI2_INVALID_OPTION' })
})

test('synth makes the types it cannot write itself by quantizing an f16 file', async (t) => {
  const folder = await temporaryFolder(t)
  const vocabulary = await smallGguf(await temporaryFolder(t))
  const to = join(folder, 'x.gguf')
  const result = await synth({ to, layers: 1, embeddingSize: 160, heads: 2, type: 'iq4_nl', vocabulary })
  assert.equal(calls().at(-1)!.type, 'iq4_nl')
  assert.deepEqual([result.path, result.bytes], [to, (await stat(to)).size])
  assert.deepEqual(await readdir(folder), ['x.gguf'])
})
