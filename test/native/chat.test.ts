import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Chat } from '../../src/chat.js'
import { Phi2 } from '../../src/phi2.js'
import type { SavedChat } from '../../src/types.js'
import { loadTiny } from '../helpers/model.js'

const phi2 = await loadTiny()
const greedy = { temperature: 0 } as const

test('a second turn decodes only what is new', async () => {
  const chat = phi2.chat()
  const first = await chat.say('Hello Bob, how are you today?', greedy)
  const second = await chat.say('What is your favorite color?', greedy)
  const known = first.usage.promptTokens + first.tokens.length
  assert.ok(second.usage.cachedTokens >= known - 1, `${second.usage.cachedTokens} of ${known}`)
  assert.equal(second.droppedTurns, 0)
  assert.equal(chat.turns.length, 2)
  assert.equal(
    chat.transcript,
    `Alice: Hello Bob, how are you today?\nBob: ${first.text}\nAlice: What is your favorite color?\nBob: ${second.text}`,
  )
})

test('the cache does not change what is said', async () => {
  const chat = phi2.chat()
  await chat.say('Hello Bob, how are you today?', greedy)
  const cached = await chat.say('Any plans for the weekend?', greedy)
  await using fresh = await Phi2.load({ model: 'tiny' })
  const saved = { ...chat.save(), turns: chat.save().turns.slice(0, 1) }
  const decoded = await fresh.chat(saved).say('Any plans for the weekend?', greedy)
  assert.equal(decoded.usage.cachedTokens, 0)
  assert.equal(cached.text, decoded.text)
})

test('the oldest turns are dropped to fit, the head never, and the answer says so', async () => {
  await using small = await Phi2.load({ model: 'tiny', contextSize: 256 })
  const turns = Array.from({ length: 20 }, (_, i) => ({ user: `This is remark number ${i}.`, assistant: 'I see.' }))
  const chat = small.chat({ ...emptyChat(), head: 'Bob is a friendly robot.', turns })
  const answer = await chat.say('Hello again!', { ...greedy, maxTokens: 40 })
  assert.ok(answer.droppedTurns > 0 && answer.droppedTurns < 20)
  assert.ok(answer.usage.promptTokens + 40 <= 256)
  assert.equal(chat.turns.length, 21, 'the transcript keeps every turn')
  // With one turn more the prompt would have filled more than three quarters of its room.
  const kept = turns.slice(answer.droppedTurns - 1)
  const lines = kept.flatMap((turn) => [`Alice: ${turn.user}`, `Bob: ${turn.assistant}`])
  const larger = await small.countTokens(
    ['Bob is a friendly robot.', ...lines, 'Alice: Hello again!', 'Bob:'].join('\n'),
  )
  assert.ok(larger > (256 - 40) * 0.75)
  // The next turns keep that start and so reuse the cache.
  const next = await chat.say('How are you?', { ...greedy, maxTokens: 40 })
  assert.equal(next.droppedTurns, answer.droppedTurns)
  assert.ok(next.usage.cachedTokens >= answer.usage.promptTokens - 1)
  const head = await small.tokenize('Bob is a friendly robot.')
  assert.ok(answer.usage.promptTokens > head.length)
})

test('a message that cannot fit alone is refused with both counts', async () => {
  await using small = await Phi2.load({ model: 'tiny', contextSize: 256 })
  const chat = small.chat()
  await assert.rejects(Promise.resolve(chat.say('word '.repeat(400))), { code: 'PHI2_CONTEXT_FULL' })
  assert.equal(chat.turns.length, 0)
  assert.ok((await chat.say('Hello!', greedy)).text.length > 0, 'the chat can be used again')
})

test('retry answers the last message again, undo takes the turn back', async () => {
  const chat = phi2.chat()
  await chat.say('Hello Bob, how are you today?', greedy)
  const second = await chat.say('Any plans for the weekend?', greedy)
  const again = await chat.retry(greedy)
  assert.equal(again.text, second.text)
  assert.equal(chat.turns.length, 2)
  const taken = chat.undo()
  assert.deepEqual(taken, { user: 'Any plans for the weekend?', assistant: again.text })
  assert.equal(chat.turns.length, 1)
  chat.reset()
  assert.equal(chat.undo(), undefined)
  assert.throws(() => chat.retry(), { code: 'PHI2_INVALID_OPTION' })
})

test('a failed retry keeps the old turn', async () => {
  const chat = phi2.chat()
  await chat.say('Hello Bob, how are you today?', greedy)
  const before = [...chat.turns]
  await assert.rejects(Promise.resolve(chat.retry({ signal: AbortSignal.abort(new Error('no')) })), /no/)
  assert.deepEqual(chat.turns, before)
})

test('a fork goes its own way', async () => {
  const chat = phi2.chat()
  await chat.say('Hello Bob, how are you today?', greedy)
  const fork = chat.fork()
  const answer = await fork.say('What is your favorite color?', greedy)
  assert.ok(answer.usage.cachedTokens > 10)
  assert.equal(chat.turns.length, 1)
  assert.equal(fork.turns.length, 2)
})

test('save and restore give the same conversation', async () => {
  const chat = phi2.chat({ user: 'Ann', assistant: 'Robot', head: 'A talk.' })
  await chat.say('Hello, who are you?', greedy)
  const saved = JSON.parse(JSON.stringify(chat.save())) as SavedChat
  const restored = Chat.restore(phi2, saved)
  assert.deepEqual(restored.save(), saved)
  assert.equal(restored.transcript, chat.transcript)
  assert.equal((await restored.say('Thank you!', greedy)).text, (await chat.say('Thank you!', greedy)).text)
})

test('a transcript that is none is refused', () => {
  for (const saved of [
    { ...emptyChat(), format: 'other' },
    { ...emptyChat(), version: 2 },
    { ...emptyChat(), turns: [{ user: 1 }] },
    { format: 'phi2-chat' },
  ]) {
    assert.throws(() => phi2.chat(saved as unknown as SavedChat), { code: 'PHI2_INVALID_TRANSCRIPT' })
  }
})

test('one answer at a time, and only what makes sense as a label', async () => {
  const chat = phi2.chat()
  const answer = chat.say('Hello Bob, how are you today?', greedy)
  assert.throws(() => chat.say('And?'), { code: 'PHI2_BUSY' })
  assert.throws(() => chat.undo(), { code: 'PHI2_BUSY' })
  assert.throws(() => chat.retry(), { code: 'PHI2_BUSY' })
  await answer
  for (const user of ['', 'a:b', 'a\nb', 'x'.repeat(50)])
    assert.throws(() => phi2.chat({ user }), { code: 'PHI2_INVALID_OPTION' })
  assert.throws(() => phi2.chat({ user: 'Bob' }), { code: 'PHI2_INVALID_OPTION' })
  for (const options of [{ name: 'x' }, null, 5]) {
    assert.throws(() => phi2.chat(options as object), { code: 'PHI2_INVALID_OPTION' })
  }
  // The profile by its name is this chat's own.
  const named = await phi2.chat({ user: 'Ann', assistant: 'Ben' }).say('Hello!', { ...greedy, profile: 'chat' })
  assert.doesNotMatch(named.text, /Ann:|Ben:/)
  assert.throws(() => chat.say('  '), { code: 'PHI2_INVALID_OPTION' })
})

test('an aborted answer becomes a turn with the text so far', async () => {
  const chat = phi2.chat()
  const answer = chat.say('Tell me a long story.', {
    ...greedy,
    profile: 'none',
    maxTokens: 1000,
    logitBias: { 50256: Number.NEGATIVE_INFINITY },
  })
  let text = ''
  for await (const chunk of answer) {
    text += chunk
    if (text.length > 20) break
  }
  await assert.rejects(Promise.resolve(answer), { code: 'PHI2_ABORTED' })
  assert.equal(chat.turns.length, 1)
  assert.ok(chat.turns[0]!.assistant.startsWith(text))
})

function emptyChat(): SavedChat {
  return { format: 'phi2-chat', version: 1, user: 'Alice', assistant: 'Bob', head: '', turns: [] }
}
