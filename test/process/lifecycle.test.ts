import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runChild } from '../helpers/child.js'

const long = `{ profile: 'none', maxTokens: 1900, logitBias: { 50256: -Infinity } }`

// A saved chat, and another model with two places that knows nothing of it.
const state = `
  const [{ mkdtempSync, rmSync }, { tmpdir }, { join }] = await Promise.all(['fs', 'os', 'path'].map((name) => import('node:' + name)))
  const folder = mkdtempSync(join(tmpdir(), 'phi2-state-'))
  process.on('exit', () => rmSync(folder, { recursive: true }))
  const file = join(folder, 'chat.kv')
  const turns = Array.from({ length: 30 }, () => ({ user: 'What is one plus two?', assistant: 'Three.' }))
  const chat = { format: 'phi2-chat', version: 1, user: 'Alice', assistant: 'Bob', head: '', turns }
  const first = await Phi2.load({ model: 'tiny' })
  const saved = await first.chat(chat).save({ state: file })
  await first.close()
  const other = await Phi2.load({ model: 'tiny', maxSequences: 2 })
  ready();`

/** Each program must end by itself with code 0 and say nothing on stderr. */
const stages: Record<string, string> = {
  'the addon is imported and not used': 'ready()',
  'a model is left open': `await Phi2.load({ model: 'tiny' }); ready()`,
  'a model is left open after an answer': `const phi2 = await Phi2.load({ model: 'tiny' }); ready(); await phi2.ask('Hi')`,
  'a model is closed': `const phi2 = await Phi2.load({ model: 'tiny' }); ready(); await phi2.ask('Hi'); await phi2.close()`,
  'a model is closed twice, and at once': `const phi2 = await Phi2.load({ model: 'tiny' }); ready(); phi2.close(); await phi2.close()`,
  'a load is left pending': `ready(); void Phi2.load({ model: 'tiny' })`,
  'a load fails': `ready(); await Phi2.load({ model: '/nothing' }).catch(() => {})`,
  'a load is left pending and the process exits': `ready(); void Phi2.load({ model: 'tiny' }); setTimeout(() => process.exit(0), 30)`,
  'an answer is left running to its end': `const phi2 = await Phi2.load({ model: 'tiny' }); ready(); void phi2.ask('Hi')`,
  'an answer is running and the process exits': `const phi2 = await Phi2.load({ model: 'tiny' }); ready(); for await (const _ of phi2.complete('Hi', ${long})) process.exit(0)`,
  'a prompt is being read and the process exits': `const phi2 = await Phi2.load({ model: 'tiny' }); ready(); void phi2.complete('word '.repeat(1900)); setTimeout(() => process.exit(0), 20)`,
  'many answers run and the model is closed': `const phi2 = await Phi2.load({ model: 'tiny' }); ready(); for (let i = 0; i < 20; i++) void phi2.complete('Hi', ${long}); await new Promise((r) => setTimeout(r, 50)); await phi2.close()`,
  'an answer is broken off': `const phi2 = await Phi2.load({ model: 'tiny' }); ready(); for await (const _ of phi2.complete('Hi', ${long})) break`,
  'an answer fails and nobody looks': `const phi2 = await Phi2.load({ model: 'tiny' }); ready(); void phi2.complete('word '.repeat(3000))`,
  'an answer is paused for ever by its reader': `const phi2 = await Phi2.load({ model: 'tiny' }); ready(); const it = phi2.complete('Hi', { ...${long}, highWaterMark: 1 })[Symbol.asyncIterator](); await it.next(); setTimeout(() => process.exit(0), 50)`,
  'a reader has stopped reading and forgotten its answer': `const phi2 = await Phi2.load({ model: 'tiny' }); ready(); await phi2.complete('Hi', { ...${long}, highWaterMark: 1 })[Symbol.asyncIterator]().next()`,
  'several models are open': `const all = await Promise.all([1, 2, 3].map(() => Phi2.load({ model: 'tiny' }))); ready(); await Promise.all(all.map((phi2) => phi2.ask('Hi')))`,
  'closing overlaps a long tokenization': `const phi2 = await Phi2.load({ model: 'tiny' }); ready(); void phi2.tokenize('word '.repeat(200000)); await phi2.close()`,
  'a chat is saved with its state and restored': `${state} await other.chat(saved).restoreState()`,
  'a state is being saved and the process exits': `${state} void other.chat(saved).save({ state: file, onProgress: () => process.exit(0) })`,
  'a state is being saved and the model is closed': `${state} void other.chat(saved).save({ state: file }).catch(() => {}); setTimeout(() => other.close(), 5)`,
  'a state is being restored and the process exits': `${state} void other.chat(saved).restoreState({ onProgress: () => process.exit(0) })`,
  'a state waits for its place and the process exits': `${state} void other.complete('Hi', ${long}); void other.complete('Ho', ${long}); void other.chat(saved).restoreState(); setTimeout(() => process.exit(0), 100)`,
  'a state waits for its place and the model is closed': `${state} for (const text of ['Hi', 'Ho']) other.complete(text, ${long}).catch(() => {}); other.chat(saved).restoreState().catch(() => {}); setTimeout(() => other.close(), 100)`,
}

for (const [stage, program] of Object.entries(stages)) {
  test(`the process exits cleanly when ${stage}`, async () => {
    const { code, signal, stderr } = await runChild(program)
    assert.equal(stderr, '')
    assert.equal(signal, null)
    assert.equal(code, 0)
  })
}

test('an idle open model does not keep the process alive, a running answer does', async () => {
  const { stdout } = await runChild(`
    const phi2 = await Phi2.load({ model: 'tiny' }); ready()
    phi2.ask('What is the capital of France?').then(({ text }) => console.log(text))`)
  assert.match(stdout, /Paris/)
})

test('an uncaught exception during an answer ends the process with its own error, not with a crash', async () => {
  const { code, signal, stderr } = await runChild(`
    const phi2 = await Phi2.load({ model: 'tiny' }); ready()
    for await (const _ of phi2.complete('Hi', ${long})) setTimeout(() => { throw new Error('mine') })`)
  assert.equal(signal, null)
  assert.equal(code, 1)
  assert.match(stderr, /Error: mine/)
})

test('an exception in onProgress reaches the process and does not stop the load', async () => {
  const { code, stdout } = await runChild(`
    ready()
    let caught = 0
    process.on('uncaughtException', (error) => { if (error.message === 'mine') caught++ })
    const phi2 = await Phi2.load({ model: 'tiny', onProgress: () => { throw new Error('mine') } })
    const { text } = await phi2.ask('What is the capital of France?')
    console.log(text, caught > 0)`)
  assert.equal(code, 0)
  assert.match(stdout, /Paris\. true/)
})
