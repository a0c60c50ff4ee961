// Errors have a code that stays and a message that helps. Run: npx tsx examples/errors.ts
import { Phi2, Phi2Error } from 'phi2'

try {
  await Phi2.load({ model: './nothing.gguf' })
} catch (error) {
  if (!(error instanceof Phi2Error)) throw error
  console.log(error.code) // PHI2_MODEL_NOT_FOUND
  console.log(error.message)
}
