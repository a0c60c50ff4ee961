import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { inspect, quantize, synth } from '../../gguf/index.js'
import { temporaryFolder } from '../helpers/model.js'
import { assertReadersAgree } from '../helpers/second-reader.js'
import { soundModel } from './gguf-variants.js'

test('what llama.cpp quantizes reads the same with @huggingface/gguf, and is described by its type', async () => {
  const folder = temporaryFolder()
  const [vocabulary, from, to] = ['vocabulary', 'f16', 'quantized'].map((name) => join(folder, `${name}.gguf`))
  await soundModel().write(vocabulary!)
  await synth({ to: from!, layers: 1, embeddingSize: 256, heads: 2, type: 'f16', vocabulary })
  for (const type of ['q4_k_m', 'q2_k', 'iq4_nl', 'bf16'] as const) {
    await quantize({ from: from!, to: to!, type })
    await assertReadersAgree(to!)
    const { model, warnings } = await inspect({ source: to! })
    assert.equal(model.fileType, type)
    assert.deepEqual(
      warnings.map(({ code }) => code),
      ['head-size', 'vocabulary-size'],
    )
  }
})
