// Where an answer ends. Run: npx tsx examples/stop.ts
import { Phi2, qaExtras, type StopProfile, stopProfiles } from 'phi2'

const phi2 = await Phi2.load()
const question = 'What is the capital of France?'

const answer = await phi2.ask(question)
console.log(answer.text, '· ended by', answer.stop)

const raw = await phi2.ask(question, { profile: 'none', maxTokens: 40 })
console.log('without a profile:', raw.text)

const firstLine = await phi2.ask(question, { stop: '\n' }) // one rule more
console.log('first line:', firstLine.text)

const profile: StopProfile = { rules: [...stopProfiles.qa.rules, ...qaExtras], trim: 'both' } // rules of your own
console.log('own profile:', (await phi2.ask(question, { profile })).text)
await phi2.close()
