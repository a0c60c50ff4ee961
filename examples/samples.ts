// Several answers at once, each with its own seed. Run: npx tsx examples/samples.ts
import { Phi2 } from 'phi2'

const phi2 = await Phi2.load()
const stories = [1, 2, 3].map((seed) => phi2.ask('Write a short story about a dog.', { temperature: 0.8, seed }))
for (const { seed, text } of await Promise.all(stories)) console.log(`${seed}: ${text}\n`)
await phi2.close()
