import { join } from 'node:path'
import { test } from 'node:test'
import { synth } from '../../gguf/index.js'
import { tinyModelPath } from '../../src/models/resolve.js'
import { assertReadersAgree } from '../helpers/second-reader.js'
import { soundModel } from '../native/gguf-variants.js'
import { temporaryFolder } from './gguf-fixture.js'

test('the embedded model and what synth writes read the same with @huggingface/gguf', async (t) => {
  await assertReadersAgree(tinyModelPath())
  const path = join(await temporaryFolder(t), 'synthetic.gguf')
  for (const type of ['f32', 'f16', 'q8_0', 'q4_0'] as const) {
    await synth({ to: path, layers: 2, embeddingSize: 320, heads: 4, type })
    await assertReadersAgree(path)
  }
})

test('so do values of every type, another alignment, and a file without tensors', async (t) => {
  const path = join(await temporaryFolder(t), 'odd.gguf')
  const model = soundModel().set('general.alignment', 'uint32', 128)
  model.metadata
    .set('u8', { type: 'uint8', value: 255 })
    .set('i8', { type: 'int8', value: -128 })
    .set('u16', { type: 'uint16', value: 65535 })
    .set('i16', { type: 'int16', value: -32768 })
    .set('i32', { type: 'int32', value: -1 })
    .set('u64', { type: 'uint64', value: 2n ** 64n - 1n })
    .set('i64', { type: 'int64', value: -(2n ** 63n) })
    .set('f64', { type: 'float64', value: Math.PI })
    .set('yes', { type: 'bool', value: true })
    .set('text', { type: 'string', value: 'Ġé 🚀\n\0' })
    .set('none', { type: 'array', of: 'uint16', value: [] })
    .set('floats', { type: 'array', of: 'float64', value: [0.1, -1e300] })
    .set('flags', { type: 'array', of: 'bool', value: [true, false] })
  await model.write(path)
  await assertReadersAgree(path)
  model.tensors = []
  await model.write(path)
  await assertReadersAgree(path)
})
