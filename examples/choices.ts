// Several answers to one question, from one reading of it. Run: npx tsx examples/choices.ts
import { Phi2 } from 'phi2'

const phi2 = await Phi2.load()
const { choices = [], usage } = await phi2.ask('Write a short story about a dog.', { n: 3, temperature: 0.8 })
for (const { seed, text } of choices) console.log(`${seed}: ${text}\n`)
console.log(`${usage.promptTokens} tokens of the prompt were read once`)
await phi2.close()
