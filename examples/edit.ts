// Code that is mostly a copy of its prompt, with guesses looked up there. Run: npx tsx examples/edit.ts
import { Phi2 } from 'phi2'

const source = 'def area(width, height):\n    result = width * height\n    return result\n'
const phi2 = await Phi2.load()
const { text, usage } = await phi2.complete(`${source}\n# The same with other names:\n`, {
  speculate: 'lookup',
  maxTokens: 60,
})
console.log(text)
console.log(`${usage.acceptedPredictionTokens} of ${usage.completionTokens} tokens were guessed`)
await phi2.close()
