import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { synth } from '../../gguf/index.js'
import { evaluate } from '../../src/evaluate.js'
import { packageRoot } from '../../src/package-root.js'
import { Phi2 } from '../../src/phi2.js'
import { temporaryFolder } from '../helpers/model.js'

// Phi-2's own width with few layers: this processor's fastest kernels (AMX, VNNI, repacked weights) run only on such
// matrices, and a miscompiled one ends the process on the first prompt of more than a few tokens.
const folder = temporaryFolder()
const prompt = `Instruct: ${'Describe the way from the harbour to the lighthouse. '.repeat(20)}\nOutput:`

for (const type of ['q4_k_m', 'q8_0', 'q4_0', 'f16'] as const) {
  test(`a full-width ${type} model decodes a prompt of more than 64 tokens to finite logits, in one step and in many`, async () => {
    const to = join(folder, `wide-${type}.gguf`)
    await synth({ to, layers: 2, type, seed: 3 })
    await using phi2 = await Phi2.load({ model: to })
    assert.equal(phi2.info.embeddingSize, 2560)
    assert.equal(phi2.info.headSize, 80)
    const { engine, dispatcher } = phi2.internals
    const tokens = Int32Array.from(await phi2.tokenize(prompt))
    assert.ok(tokens.length > 64 && tokens.length < 512)
    const last = tokens.length - 1
    const { logits } = await evaluate(engine, dispatcher, tokens, { logitPositions: [0, 64, last] })
    assert.equal(logits.length, 3 * phi2.info.vocabularySize)
    assert.ok(logits.every(Number.isFinite))

    // The same prompt as one chunk of 512 and as many of 32 must mean the same to the model.
    await using small = await Phi2.load({ model: to, batchSize: 32 })
    const { logits: again } = await evaluate(small.internals.engine, small.internals.dispatcher, tokens, {
      logitPositions: [last],
    })
    const row = logits.subarray(2 * phi2.info.vocabularySize)
    assert.ok(cosine(row, again) > 0.99, `cosine ${cosine(row, again)}`)

    const answer = await phi2.complete(prompt, { maxTokens: 8 })
    assert.ok(answer.usage.promptTokens > 64)
  })
}

test('GCC gets the flags that keep the AMX tile configuration alive', (t) => {
  const file = join(packageRoot(), 'build', 'compile_commands.json')
  if (!existsSync(file)) return t.skip('no compile_commands.json: the addon was not built here')
  const commands = JSON.parse(readFileSync(file, 'utf8')) as { command: string; file: string }[]
  const amx = commands.filter(({ file: source }) => source.endsWith('ggml-cpu/amx/mmq.cpp'))
  assert.ok(amx.length > 0)
  for (const { command } of amx) {
    const clang = /clang/.test(command.split(' ')[0]!)
    assert.equal(/-fno-dse/.test(command) && /-fno-tree-dse/.test(command), !clang, command)
  }
})

function cosine(a: Float32Array, b: Float32Array): number {
  let ab = 0
  let aa = 0
  let bb = 0
  a.forEach((x, i) => {
    const y = b[i]!
    ab += x * y
    aa += x * x
    bb += y * y
  })
  return ab / Math.sqrt(aa * bb)
}
