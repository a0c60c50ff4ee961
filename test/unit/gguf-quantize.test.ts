import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { copyFile, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import {
  convert,
  FILE_TYPES,
  GGML_TYPES,
  type QuantizeOptions,
  quantize,
  readHeader,
  synth,
  writeGguf,
} from '../../gguf/index.js'
import { Phi2Error } from '../../src/errors.js'
import type { NativeQuantizeOptions } from '../../src/native.js'
import { noTmpfs, smallDisk } from '../helpers/tmpfs.js'
import { temporaryFolder, writeCheckpoint } from './gguf-fixture.js'

/**
 * A stand-in for the native addon: it copies the file and notes the call. Types other than those of the tests below
 * fail as the addon does, after having written half of the file. What the engine itself does is tested with the addon.
 */
const TAKEN = (['q8_0', 'q4_k_m', 'iq4_nl'] as const).map((type) => FILE_TYPES[type].id)
const ADDON = `
const { copyFileSync, writeFileSync } = require('node:fs')
globalThis.quantizeCalls = []
exports.versions = { llama: '0.0.0', ggml: '0.0.0' }
exports.initBackend = () => {}
exports.stopForExit = () => {}
exports.quantize = (options) => ({ promise: run(options), cancel() {} })
async function run(options) {
  const report = { changes: [{ name: 'token_embd.weight', type: 'f32' }], fallbacks: [] }
  if (options.dry_run) return report
  globalThis.quantizeCalls.push(options)
  if (${JSON.stringify(TAKEN)}.includes(options.ftype)) {
    copyFileSync(options.path_in, options.path_out)
    return report
  }
  writeFileSync(options.path_out, 'half')
  globalThis.beforeFailure?.()
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
  const result = await quantize({
    from,
    to,
    type: 'Q4_K_M',
    threads: 3,
    allowRequantize: true,
    pure: true,
    outputTensorType: 'q8_0',
  })
  const { path_out, tensors, onProgress, ...call } = calls().at(-1)!
  assert.deepEqual(call, {
    path_in: from,
    ftype: 15,
    n_threads: 3,
    allow_requantize: true,
    quantize_output_tensor: true,
    pure: true,
    dry_run: false,
    output_tensor_type: GGML_TYPES.q8_0.id,
    token_embedding_type: undefined,
    imatrix: [],
    keys: [],
  })
  assert.ok(path_out !== to && path_out.startsWith(folder))
  assert.deepEqual([result.path, result.bytes], [to, (await stat(to)).size])
  const { dataOffset, tensors: stored } = await readHeader(from)
  assert.deepEqual(
    tensors.map(({ name, offset, bytes }) => [name, offset, bytes]),
    stored.map(({ name, offset, byteLength }) => [name, dataOffset + offset, byteLength]),
  )
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

test('a disk that fills up in the middle is no fault of the engine, and nothing is left', {
  skip: noTmpfs,
}, async (t) => {
  const disk = smallDisk(t, 4 * 1024 * 1024)
  const from = await smallGguf(await temporaryFolder(t))
  const fill = () => writeFileSync(join(disk, 'other'), Buffer.alloc(4 * 1024 * 1024 - 16384))
  Object.assign(globalThis, { beforeFailure: fill })
  t.after(() => Object.assign(globalThis, { beforeFailure: undefined }))
  await assert.rejects(quantize({ from, to: join(disk, 'q.gguf'), type: 'q2_k' }), { code: 'PHI2_NO_SPACE' })
  assert.deepEqual(await readdir(disk), ['other'])
})

test('the new name is the old one with the other type, and an older file can be kept', async (t) => {
  const folder = await temporaryFolder(t)
  const names: Record<string, string> = {
    'phi-2-f16.gguf': 'phi-2-q8_0.gguf',
    'phi-2.Q4_K_M.gguf': 'phi-2.q8_0.gguf',
    'f32_model.GGUF': 'f32_model-q8_0.gguf',
    model: 'model-q8_0.gguf',
  }
  const source = await smallGguf(folder)
  for (const [from, to] of Object.entries(names)) {
    await copyFile(source, join(folder, from))
    assert.equal((await quantize({ from: join(folder, from), type: 'q8_0' })).path, join(folder, to))
    await stat(join(folder, to))
  }
  await assert.rejects(quantize({ from: join(folder, 'model'), type: 'q8_0', overwrite: false }), {
    code: 'PHI2_IO',
    message: /model-q8_0.gguf exists already/,
  })
})

test('the file that is quantized is never the target, nor is a folder', async (t) => {
  const folder = await temporaryFolder(t)
  const from = await smallGguf(folder)
  const before = calls().length
  await assert.rejects(quantize({ from, to: from, type: 'q8_0' }), { name: 'RangeError', code: 'PHI2_INVALID_OPTION' })
  await assert.rejects(quantize({ from, to: folder, type: 'q8_0' }), { code: 'PHI2_IO', message: /is a folder/ })
  assert.equal(calls().length, before)
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

test('types that do not suit Phi-2, or that llama.cpp has no more, are refused with the reason', async () => {
  const reasons: Record<string, RegExp> = {
    mxfp4_moe: /Phi-2 has none.*Use q8_0/,
    nvfp4: /Use q4_k_m/,
    TQ1_0: /trained with the three weights/,
    tq2_0: /trained with the three weights/,
    q2_0: /trained with the three weights/,
    q1_0: /trained with one bit/,
    q4_0_4_4: /Use q4_0/,
    Q4_0_8_8: /Use q4_0/,
    q4_2: /removed/,
    q9_9: /Expected one of f32, f16, /,
    constructor: /Expected one of f32, f16, /,
  }
  for (const [type, message] of Object.entries(reasons)) {
    await assert.rejects(quantize({ from: 'x', to: 'y', type } as unknown as QuantizeOptions), {
      name: 'RangeError',
      code: 'PHI2_INVALID_OPTION',
      message,
    })
  }
})

test('wrong options throw', async () => {
  const wrong = (options: object) => quantize({ from: 'x', to: 'y', type: 'q8_0', ...options } as QuantizeOptions)
  await assert.rejects(wrong({ type: 5 }), { name: 'TypeError', code: 'PHI2_INVALID_OPTION' })
  await assert.rejects(wrong({ to: '' }), { name: 'TypeError', code: 'PHI2_INVALID_OPTION' })
  await assert.rejects(wrong({ pure: 1 }), { name: 'TypeError', code: 'PHI2_INVALID_OPTION' })
  await assert.rejects(wrong({ outputTensorType: 'iq1_s' }), { name: 'RangeError', code: 'PHI2_INVALID_OPTION' })
  await assert.rejects(wrong({ imatrix: 'i.gguf' }), { name: 'RangeError', message: /changes nothing in .* q8_0/ })
  await assert.rejects(wrong({ leaveOutputTensor: true, outputTensorType: 'q4_0' }), { name: 'RangeError' })
  await assert.rejects(wrong({ type: 'q9_9' }), { name: 'RangeError', code: 'PHI2_INVALID_OPTION' })
  await assert.rejects(wrong({ threads: 0 }), { name: 'RangeError', code: 'PHI2_INVALID_OPTION' })
  await assert.rejects(wrong({ threads: '2' }), { name: 'TypeError', code: 'PHI2_INVALID_OPTION' })
  await assert.rejects(wrong({ from: 5 }), { name: 'TypeError', code: 'PHI2_INVALID_OPTION' })
  for (const work of [quantize, convert, synth] as ((options: unknown) => Promise<unknown>)[]) {
    for (const options of [undefined, null, 'x', { from: 'x', signal: {} }, { from: 'x', onProgress: true }]) {
      await assert.rejects(work(options), { name: 'TypeError', code: 'PHI2_INVALID_OPTION' })
    }
  }
})

test('synth makes the types it cannot write itself by quantizing an f16 file', async (t) => {
  const folder = await temporaryFolder(t)
  const vocabulary = await smallGguf(await temporaryFolder(t))
  const to = join(folder, 'x.gguf')
  const result = await synth({ to, layers: 1, embeddingSize: 160, heads: 2, type: 'iq4_nl', vocabulary })
  assert.equal(calls().at(-1)!.ftype, FILE_TYPES.iq4_nl.id)
  assert.deepEqual([result.path, result.bytes], [to, (await stat(to)).size])
  assert.deepEqual(await readdir(folder), ['x.gguf'])
})
