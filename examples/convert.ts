// A Hugging Face checkpoint to GGUF, and to four bits. Run: npx tsx examples/convert.ts FOLDER NAME
import { convert, quantize } from 'phi2/gguf'

const [from, name = 'phi-2'] = process.argv.slice(2)
if (from === undefined) throw new Error('Usage: npx tsx examples/convert.ts FOLDER NAME')
const { path, tensors } = await convert({ from, to: `${name}-f16.gguf`, outtype: 'f16' })
console.log(`${path}: ${tensors} tensors`)
const { bytes } = await quantize({ from: path, to: `${name}-q4_k_m.gguf`, type: 'q4_k_m' })
console.log(`${name}-q4_k_m.gguf: ${bytes} bytes`)
