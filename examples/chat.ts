// A conversation of two speakers. Run: npx tsx examples/chat.ts
import { Phi2 } from 'phi2'

const phi2 = await Phi2.load()
const chat = phi2.chat({ user: 'Alice', assistant: 'Bob' })
await chat.say("I don't know why, I'm struggling to maintain focus while studying. Any suggestions?")
await chat.say('Thank you! Is there anything else?')
await chat.retry() // another answer to the same words

const saved = JSON.stringify(chat.save())
const later = phi2.chat(JSON.parse(saved))
console.log(later.transcript)
await phi2.close()
