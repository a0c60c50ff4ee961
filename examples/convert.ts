// A Hugging Face checkpoint to GGUF, and to four bits. Run: npx tsx examples/convert.ts FOLDER NAME
import { convert, inspect, quantize } from 'phi2/gguf'

const [from, name = 'phi-2'] = process.argv.slice(2)
if (from === undefined) throw new Error('Usage: npx tsx examples/convert.ts FOLDER NAME')
const { path, tensors } = await convert({ from, to: `${name}-f16.gguf`, outtype: 'f16', verify: true })
console.log(`${path}: ${tensors} tensors`)
const { bytes, bitsPerWeight } = await quantize({ from: path, to: `${name}-q4_k_m.gguf`, type: 'q4_k_m' })
console.log(`${name}-q4_k_m.gguf: ${bytes} bytes, ${bitsPerWeight.toFixed(2)} bits per weight`)
const { memory, warnings } = await inspect({ source: `${name}-q4_k_m.gguf`, contextSize: 2048 })
console.log(`takes ${(memory!.total / 1e9).toFixed(1)} GB with 2048 tokens`, warnings)
