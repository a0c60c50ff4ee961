/** Converts the trained checkpoint to the embedded model. Usage: tsx gguf/tiny/make.ts HF_DIR [OUT.gguf] */

import { tinyModelPath } from '../../src/models/resolve.js'
import { withTemporaryFile } from '../atomic-file.js'
import { convert } from '../convert.js'
import { quantize } from '../quantize.js'

const [from, to = tinyModelPath()] = process.argv.slice(2)
if (from === undefined) {
  console.error('Usage: tsx gguf/tiny/make.ts HF_DIR [OUT.gguf]')
  process.exit(2)
}
// llama.cpp's quantizer writes the same values as `outtype: 'q8_0'`, but keys and tensors in another order: the one
// that the file in the repository has.
const bytes = await withTemporaryFile(to, async (f16) => {
  await convert({ from, to: f16, outtype: 'f16', name: 'phi-2-tiny', license: 'mit' })
  return (await quantize({ from: f16, to, type: 'q8_0' })).bytes
})
console.log(`${to}: q8_0, ${bytes} bytes`)
