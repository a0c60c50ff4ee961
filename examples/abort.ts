// Stops an answer and keeps what was said. Run: npx tsx examples/abort.ts
import { Phi2 } from 'phi2'

const phi2 = await Phi2.load()
const story = phi2.complete('Once upon a time', { maxTokens: 1000, signal: AbortSignal.timeout(100) })
try {
  await story
} catch (reason) {
  console.log(reason instanceof Error && reason.name) // TimeoutError, the signal's own reason
}
console.log(story.text) // the text so far
await phi2.close()
