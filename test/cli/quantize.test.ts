import assert from 'node:assert/strict'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryFolder } from '../helpers/model.js'
import { writeSmallModel } from '../helpers/small-model.js'
import { phi2 } from './run.js'

async function model(): Promise<{ from: string; folder: string }> {
  const folder = temporaryFolder()
  const from = join(folder, 'small-f32.gguf')
  await writeSmallModel(from, { width: 256, layers: 1 })
  return { from, folder }
}

test('phi2 quantize names the file after its type and says what it holds', async () => {
  const { from, folder } = await model()
  const run = await phi2(['quantize', from, 'Q4_K_M'])
  assert.deepEqual([run.code, run.stderr], [0, ''])
  const to = join(folder, 'small-q4_k_m.gguf')
  const { size } = await stat(to)
  const [first, heading, ...rows] = run.stdout.trimEnd().split('\n')
  assert.match(first!, new RegExp(`^${to}: q4_k_m, .* \\(${size} bytes\\), \\d\\.\\d\\d bits per weight$`))
  assert.match(heading!, /^tensors +type +size$/)
  assert.deepEqual(rows.map((row) => row.split(/ +/)[1]).sort(), ['f32', 'q4_k', 'q6_k'])
  assert.deepEqual((await readdir(folder)).sort(), ['small-f32.gguf', 'small-q4_k_m.gguf'])
})

test('--dry-run --json tells the size for programs and writes nothing', async () => {
  const { from, folder } = await model()
  const run = await phi2(['quantize', from, 'q8_0', '--dry-run', '--json', '--output-tensor-type', 'Q4_0'])
  assert.deepEqual([run.code, run.stderr], [0, ''])
  const { type, bytes, tensorBytes, fallbacks } = JSON.parse(run.stdout)
  assert.deepEqual([type, fallbacks], ['q8_0', []])
  assert.ok(bytes > tensorBytes)
  assert.deepEqual(await readdir(folder), ['small-f32.gguf'])
})

test('a file that is there already stays, unless --force is given; the input always does', async () => {
  const { from, folder } = await model()
  const to = join(folder, 'x.gguf')
  await writeFile(to, 'precious')
  const refused = await phi2(['quantize', from, 'q8_0', '-o', to])
  assert.deepEqual([refused.code, refused.stdout], [1, ''])
  assert.match(refused.stderr, /exists already\..*--force.*\(PHI2_IO\)/)
  const itself = await phi2(['quantize', from, 'q8_0', '-o', from, '--force'])
  assert.deepEqual([itself.code, itself.stdout], [2, ''])
  assert.match(itself.stderr, /Expected another file for to than .*, which is read for it/)
  assert.equal(await readFile(to, 'utf8'), 'precious')
  assert.equal((await phi2(['quantize', from, 'q8_0', '-o', to, '--force', '--threads', '1'])).code, 0)
  assert.equal((await readFile(to)).toString('latin1', 0, 4), 'GGUF')
})

test('--types lists every type, what it costs, and why some are not offered', async () => {
  const run = await phi2(['quantize', '--types'])
  assert.deepEqual([run.code, run.stderr], [0, ''])
  assert.match(run.stdout, /^q4_k_m +5\.00 +1\.7 GB +optional$/m)
  assert.match(run.stdout, /^iq2_xxs +2\.33 +\S+ MB +required$/m)
  assert.match(run.stdout, /^tq1_0 +it suits models trained/m)
  const list = JSON.parse((await phi2(['quantize', '--types', '--json'])).stdout)
  assert.equal(list.length, 36)
})

test('wrong use ends with 2, a file that should not be quantized with 1, each with its reason', async () => {
  const { from } = await model()
  for (const [args, code, message] of [
    [[from], 2, /needs a file and a type/],
    [[from, 'q8_0', 'out.gguf'], 2, /found out\.gguf as well; the output is named by -o/],
    [[from, 'q9_9'], 2, /Expected one of f32, f16/],
    [[from, 'mxfp4_moe'], 2, /Phi-2 has none.*Use q8_0/],
    [[from, 'iq2_xxs'], 2, /phi2 imatrix/],
    [[from, 'f32'], 1, /is what you want already.*PHI2_QUANTIZE_FAILED/],
    [[from, 'q2_k', '--imatrix', from], 1, /another GGUF file.*PHI2_INVALID_IMATRIX/],
    [[`${from}x`, 'q8_0'], 1, /PHI2_MODEL_NOT_FOUND/],
  ] as const) {
    const run = await phi2(['quantize', ...args])
    assert.deepEqual([run.code, run.stdout], [code, ''], run.stderr)
    assert.match(run.stderr, message)
  }
})
