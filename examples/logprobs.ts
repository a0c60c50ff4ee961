// How sure the model was of each token, and what else it thought of. Run: npx tsx examples/logprobs.ts
import { Phi2 } from 'phi2'

const phi2 = await Phi2.load()
const { logprobs = [] } = await phi2.ask('What is the capital of France?', { topLogprobs: 3 })
for (const { text, logprob, top } of logprobs) {
  const others = top.map((other) => `${JSON.stringify(other.text)} ${Math.exp(other.logprob).toFixed(3)}`)
  console.log(JSON.stringify(text).padEnd(12), Math.exp(logprob).toFixed(3), ' of ', others.join(', '))
}
await phi2.close()
