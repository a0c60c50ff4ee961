/** Converts the trained checkpoint to the embedded model. Usage: tsx gguf/tiny/make.ts HF_DIR [OUT.gguf] */

import { tinyModelPath } from '../../src/models/resolve.js'
import { convert } from '../convert.js'

const [from, to = tinyModelPath()] = process.argv.slice(2)
if (from === undefined) {
  console.error('Usage: tsx gguf/tiny/make.ts HF_DIR [OUT.gguf]')
  process.exit(2)
}
const outtype = to.endsWith('-f16.gguf') ? 'f16' : 'q8_0'
const { path, bytes, tensors } = await convert({ from, to, outtype, name: 'phi-2-tiny', license: 'mit' })
console.log(`${path}: ${outtype}, ${tensors} tensors, ${bytes} bytes`)
