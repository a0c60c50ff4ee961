import { Phi2 } from 'phi2'
const phi2 = await Phi2.load({ model: process.argv[2] })
const q = 'Tell me a story'
const o = (seed) => ({ temperature: 1, seed, maxTokens: 80, profile: 'none', topK: 0, topP: 1, minP: 0 })
await phi2.ask(q, o(0))
let again = 0, busy = 0, cold = 0
for (let seed = 1; seed <= 30; seed++) {
  const a = await phi2.ask(q, o(seed)), b = await phi2.ask(q, o(seed))
  again += a.text !== b.text
  const [c] = await Promise.all([phi2.ask(q, o(seed)), phi2.ask('Write a poem about rain and wind.', o(seed)), phi2.ask('What is 2 + 2?', o(seed))])
  busy += a.text !== c.text
  const other = await Phi2.load({ model: process.argv[2] })
  const d = await other.ask(q, o(seed)); await other.close()
  cold += a.text !== d.text
}
console.log({ again, busy, cold, of: 30 }); await phi2.close()
