// The body of a Python function. Run: npx tsx examples/code.ts
import { Phi2 } from 'phi2'

const phi2 = await Phi2.load()
const { source, text } = await phi2.code({
  signature: 'def print_prime(n):',
  docstring: 'Print all primes between 1 and n',
})
console.log(source) // signature, docstring and body
console.log(`The body has ${text.split('\n').length} lines.`)
await phi2.close()
