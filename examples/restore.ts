// A chat whose KV cache is kept in a file. Run: npx tsx examples/restore.ts
import { rm } from 'node:fs/promises'
import { Phi2 } from 'phi2'

const phi2 = await Phi2.load()
const chat = phi2.chat()
await chat.say('Hello! What is a prime number?')
const saved = await chat.save({ state: './chat.kv' })
await phi2.close()

const again = await Phi2.load()
const later = again.chat(saved)
const { usage } = await later.say('Thank you!')
console.log(`${usage.cachedTokens} of ${usage.promptTokens} prompt tokens came from the file`, later.restored)
await again.close()
await rm('./chat.kv')
