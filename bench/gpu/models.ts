/** Makes the models of scripts/gpu-check.sh: Phi-2 at full size with random weights, and phi-2-tiny in F16 and F32. */
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { quantize, synth } from '../../gguf/index.js'
import { tinyModelPath } from '../../src/models/resolve.js'
import { modelPath, rehearsal, say, WORK } from './setup.js'

const small = { layers: 2, embeddingSize: 320, heads: 4 }

mkdirSync(join(WORK, 'models'), { recursive: true })
for (const type of ['f16', 'f32', 'q4_k_m'] as const) {
  const to = modelPath(`random-${type}`)
  if (existsSync(to)) continue
  say(`makes ${to}`)
  // The same seed gives the same weights in each type.
  await synth({ to, type, ...(rehearsal ? small : {}) })
}
for (const type of ['f16', 'f32'] as const) {
  const to = modelPath(`tiny-${type}`)
  if (!existsSync(to)) await quantize({ from: tinyModelPath(), to, type, allowRequantize: true })
}
