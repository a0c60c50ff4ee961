// One question, one answer. Run: npx tsx examples/ask.ts
import { Phi2 } from 'phi2'

const phi2 = await Phi2.load() // PHI2_MODEL, else a Phi-2 in the cache, else the embedded toy model
const answer = await phi2.ask('Write a detailed analogy between mathematics and a lighthouse.')
console.log(answer.text)
console.log(`${answer.usage.completionTokens} tokens, ended by ${answer.stop ?? answer.finishReason}`)
await phi2.close()
