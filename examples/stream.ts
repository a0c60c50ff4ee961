// Text as it comes. Run: npx tsx examples/stream.ts
import { Phi2 } from 'phi2'

const phi2 = await Phi2.load()
const generation = phi2.ask('Why is the sky blue?')
for await (const text of generation) process.stdout.write(text)
const { usage } = await generation // the whole answer, once it is there
console.log(`\n${usage.completionTokens} tokens`)
await phi2.close()
