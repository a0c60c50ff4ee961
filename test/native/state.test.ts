import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { copyFile, mkdtemp, readdir, readFile, rename, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Chat } from '../../src/chat.js'
import type { Phi2Error } from '../../src/errors.js'
import { packageRoot } from '../../src/package-root.js'
import { Phi2 } from '../../src/phi2.js'
import { cellBytes, encodeHeader, pieceRanges, readHeader, type StateHeader } from '../../src/state-format.js'
import type { LoadOptions, SavedChat } from '../../src/types.js'
import { loadTiny, temporaryFolder } from '../helpers/model.js'

const folder = temporaryFolder()
const greedy = { temperature: 0 } as const
const question = 'Do you like dogs?'
const phi2 = await loadTiny()

// Long enough for several pieces.
const turns = Array.from({ length: 18 }, (_, i) => ({ user: `What is ${i} plus 2?`, assistant: `That is ${i + 2}.` }))
const template: SavedChat = { format: 'phi2-chat', version: 1, user: 'Alice', assistant: 'Bob', head: '', turns }

/** The conversation, its state, and how it goes on unbroken. */
const saved = await phi2.chat(template).save({ state: join(folder, 'chat.kv') })
const state = saved.state!
const unbroken = await phi2.chat(template).say(question, greedy)

/** Goes on with a saved chat on a model of its own. */
async function goOn(chat: SavedChat, options: LoadOptions = {}) {
  await using other = await Phi2.load({ model: 'tiny', ...options })
  const restored = other.chat(chat)
  const answer = await restored.say(question, greedy)
  return { answer, restored: restored.restored }
}

/** Nothing of other tests is in the cache. */
async function emptyCache(): Promise<void> {
  await phi2.complete('x', { maxTokens: 1, temperature: 1, seed: 1 })
  assert.ok(phi2.stats.cachedTokens < 5)
}

/** A copy of the state file that `change` has changed; `sha256` stays, or is made right again. */
async function forged(change: (header: StateHeader, cells: Buffer) => StateHeader | undefined): Promise<SavedChat> {
  const bytes = await readFile(state.file)
  const { header, size } = await readHeader(bytes.length, async (offset, length) =>
    bytes.subarray(offset, offset + length),
  )
  const cells = bytes.subarray(size)
  const changed = change(header, cells) ?? header
  const hashes = pieceRanges(header.tokens.length).map(({ first, count }) => {
    const piece = cells.subarray(first * cellBytes(header)).subarray(0, count * cellBytes(header))
    return createHash('sha256').update(piece).digest()
  })
  const encoded = encodeHeader({ ...changed, hashes })
  const file = join(folder, 'forged.kv')
  await writeFile(file, Buffer.concat([encoded, cells]))
  const sha256 = createHash('sha256').update(encoded).digest('hex')
  return { ...saved, state: { ...state, file, sha256 } }
}

test('a restored chat goes on as the unbroken one does, and decodes only the message', async () => {
  assert.ok(state.tokens > 256, 'several pieces')
  assert.equal((await stat(state.file)).size, state.bytes)
  assert.deepEqual((await readdir(folder)).sort(), ['chat.kv'])
  const { answer, restored } = await goOn(JSON.parse(JSON.stringify(saved)))
  assert.deepEqual(restored, { tokens: state.tokens })
  assert.equal(answer.usage.cachedTokens, state.tokens)
  assert.equal(answer.text, unbroken.text)
})

test('saving writes what the answers left in the cache, and decodes only what is not there', async () => {
  await using own = await Phi2.load({ model: 'tiny' })
  const chat = own.chat()
  const { text } = await chat.say('Hello Bob, how are you today?', greedy)
  const before = own.stats.decodedTokens
  const { state: first } = await chat.save({ state: join(folder, 'own.kv') })
  assert.ok(own.stats.decodedTokens - before <= 4, 'the next label, and what the stop rule left open')
  const known = await own.countTokens(`Alice: Hello Bob, how are you today?\nBob: ${text}\nAlice:`)
  assert.equal(first!.tokens, known)
  // A second time there is nothing to decode.
  const steps = own.stats.steps
  await chat.save({ state: join(folder, 'own.kv') })
  assert.equal(own.stats.steps, steps)
})

test('cells that other answers took the place of are decoded again to be saved', async () => {
  await emptyCache()
  const again = await phi2.chat(saved).save({ state: join(folder, 'again.kv') })
  assert.deepEqual({ ...again.state, file: '', sha256: '' }, { ...state, file: '', sha256: '' })
})

test('restoreState() brings it back at once and tells how much; a second call and a fork do nothing more', async () => {
  await emptyCache()
  const chat = Chat.restore(phi2, saved)
  assert.equal(chat.restored, undefined)
  const progress: number[] = []
  assert.equal(await chat.restoreState({ onProgress: (fraction) => progress.push(fraction) }), state.tokens)
  assert.deepEqual(chat.restored, { tokens: state.tokens })
  assert.deepEqual(progress.at(-1), 1)
  assert.ok(progress.length === pieceRanges(state.tokens).length, String(progress))
  const fork = chat.fork()
  assert.equal(await fork.restoreState(), state.tokens)
  const [one, two] = await Promise.all([chat.say(question, greedy), fork.say(question, greedy)])
  for (const { usage } of [one, two]) assert.ok(usage.cachedTokens >= state.tokens)
  assert.equal(await phi2.chat().restoreState(), 0)
})

test('cells that are cached already are not read', async () => {
  await phi2.chat(saved).restoreState()
  const damaged = await forged((_, cells) => void cells.fill(0xff))
  assert.equal(await phi2.chat(damaged).restoreState(), state.tokens)
})

test('a state is the same whatever the flash attention', async () => {
  const { answer, restored } = await goOn(saved, { flashAttention: false })
  assert.deepEqual(restored, { tokens: state.tokens })
  assert.equal(answer.text, unbroken.text)
  await using plain = await Phi2.load({ model: 'tiny', flashAttention: false })
  const other = await plain.chat(template).save({ state: join(folder, 'plain.kv') })
  assert.deepEqual((await goOn(other)).restored, { tokens: state.tokens })
})

for (const kvType of ['f32', 'bf16'] as const) {
  test(`cells of the type ${kvType} are saved and restored, too`, async () => {
    await using model = await Phi2.load({ model: 'tiny', kvType })
    const own = await model.chat(template).save({ state: join(folder, `${kvType}.kv`) })
    const expected = await model.chat(template).say(question, greedy)
    const { answer, restored } = await goOn(own, { kvType })
    assert.deepEqual(restored, { tokens: state.tokens })
    assert.equal(answer.text, expected.text)
  })
}

test('turns that no longer fit are not in the state, and the restored chat leaves them out as the unbroken one does', async () => {
  const size = { contextSize: 256 }
  await using small = await Phi2.load({ model: 'tiny', ...size })
  const chat = small.chat({ ...template, turns: [...turns, ...turns] })
  const first = await chat.say(question, { ...greedy, maxTokens: 40 })
  assert.ok(first.droppedTurns > 0)
  const own = await chat.save({ state: join(folder, 'dropped.kv') })
  assert.equal(own.state!.droppedTurns, first.droppedTurns)
  const expected = await chat.say('Are you sure?', { ...greedy, maxTokens: 40 })
  await using other = await Phi2.load({ model: 'tiny', ...size })
  const answer = await other.chat(own).say('Are you sure?', { ...greedy, maxTokens: 40 })
  assert.equal(answer.usage.cachedTokens, own.state!.tokens)
  assert.equal(answer.droppedTurns, first.droppedTurns)
  assert.equal(answer.text, expected.text)
})

test('an empty chat with a head can be saved and begun many times', async () => {
  const head = 'Bob is a friendly robot who knows much about numbers and about animals.'
  const own = await phi2.chat({ head }).save({ state: join(folder, 'head.kv') })
  await using other = await Phi2.load({ model: 'tiny' })
  for (const message of ['Hello!', 'Who are you?']) {
    const { usage } = await other.chat(own).say(message, greedy)
    assert.ok(usage.cachedTokens >= own.state!.tokens, `${usage.cachedTokens} of ${own.state!.tokens}`)
  }
})

test('undo, retry and reset before the first answer make no harm', async () => {
  await emptyCache()
  const chat = phi2.chat(saved)
  chat.undo()
  const { usage } = await chat.retry(greedy)
  assert.deepEqual(chat.restored, { tokens: state.tokens })
  assert.ok(usage.cachedTokens > state.tokens - 40)
  chat.reset()
  assert.ok((await chat.say('Hello!', greedy)).text.length > 0)
})

test('with a seed the prompt is read anew, so the state is left alone', async () => {
  const chat = phi2.chat(saved)
  await chat.say(question, { seed: 7, maxTokens: 2 })
  assert.equal(chat.restored, undefined)
})

test('other answers run while a state is saved and restored, and say the same as ever', async () => {
  const ask = () => Promise.all(['Why is the sky blue?', 'What is a prime number?'].map((text) => phi2.ask(text)))
  const expected = (await ask()).map(({ text }) => text)
  await emptyCache()
  const running = ask()
  const [own, answers] = await Promise.all([phi2.chat(saved).save({ state: join(folder, 'busy.kv') }), running])
  assert.deepEqual(
    answers.map(({ text }) => text),
    expected,
  )
  await using other = await Phi2.load({ model: 'tiny' })
  const beside = other.ask('Why is the sky blue?')
  assert.equal(await other.chat(own).restoreState(), state.tokens)
  assert.equal((await beside).text, expected[0])
})

test('where there is one place only, restoring waits for it, and so does an abort', async () => {
  await using one = await Phi2.load({ model: 'tiny', maxSequences: 1 })
  const long = one.complete('Once upon a time', { maxTokens: 300, logitBias: { 50256: -Infinity } })
  const aborter = new AbortController()
  const aborted = one.chat(saved).restoreState({ signal: aborter.signal })
  const chat = one.chat(saved)
  const restoring = chat.restoreState()
  setTimeout(() => aborter.abort(new Error('mine')), 20)
  await assert.rejects(aborted, /mine/)
  await long
  assert.equal(await restoring, state.tokens)
  const { usage } = await chat.say(question, greedy)
  assert.equal(usage.cachedTokens, state.tokens)
})

const refusals: Record<
  string,
  { code: string; message: RegExp; chat: () => Promise<SavedChat>; options?: LoadOptions }
> = {
  'the file is missing': {
    code: 'PHI2_IO',
    message: /nothing\.kv cannot be read: ENOENT/,
    chat: async () => ({ ...saved, state: { ...state, file: join(folder, 'nothing.kv') } }),
  },
  'the file is a folder': {
    code: 'PHI2_IO',
    message: /no regular file/,
    chat: async () => ({ ...saved, state: { ...state, file: folder } }),
  },
  'the cache has another type': {
    code: 'PHI2_INVALID_STATE',
    message: /chat\.kv was not used: it was saved with the kvType f16, and the model is loaded with f32/,
    chat: async () => saved,
    options: { kvType: 'f32' },
  },
  'the context is too small': {
    code: 'PHI2_CONTEXT_FULL',
    message: new RegExp(`it has ${state.tokens} tokens but a sequence holds at most 256`),
    chat: async () => saved,
    options: { contextSize: 256 },
  },
  'it is of another engine': {
    code: 'PHI2_INVALID_STATE',
    message: /was saved by llama\.cpp 0\.0\.1, and this is llama\.cpp /,
    chat: () => forged((header) => ({ ...header, engine: 'llama.cpp 0.0.1' })),
  },
  'it is another chat’s': {
    code: 'PHI2_INVALID_STATE',
    message: /not the one that was written with this chat/,
    chat: async () => {
      const other = await phi2.chat().save({ state: join(folder, 'other.kv') })
      return { ...saved, state: { ...state, file: other.state!.file } }
    },
  },
  'the turns were changed': {
    code: 'PHI2_INVALID_STATE',
    message: /of another text than this chat’s/,
    chat: async () => ({ ...saved, turns: [...turns.slice(0, -1), { user: 'Hi', assistant: 'Hi' }] }),
  },
  'it was cut off': {
    code: 'PHI2_INVALID_STATE',
    message: new RegExp(`it has 5000 bytes instead of ${state.bytes}`),
    chat: async () => {
      const file = join(folder, 'short.kv')
      await copyFile(state.file, file)
      await truncate(file, 5000)
      return { ...saved, state: { ...state, file } }
    },
  },
  'its numbers are none': {
    code: 'PHI2_INVALID_STATE',
    message: /numbers that no model computes/,
    chat: () => forged((_, cells) => void cells.writeUInt16LE(0x7c00, 2000)),
  },
}

for (const [reason, { code, message, chat: make, options = {} }] of Object.entries(refusals)) {
  test(`a state is refused when ${reason}, and the chat goes on without it`, async () => {
    const chat = await make()
    await using other = await Phi2.load({ model: 'tiny', ...options })
    const asked = other.chat(chat)
    await assert.rejects(asked.restoreState(), { name: 'Phi2Error', code, message })
    const unasked = other.chat(chat)
    const answer = await unasked.say(question, { ...greedy, maxTokens: 20 })
    assert.equal(answer.usage.cachedTokens, 0)
    assert.ok(answer.text.length > 0)
    for (const { restored } of [asked, unasked]) {
      assert.equal(restored!.tokens, 0)
      assert.match(restored!.error!.message, message)
    }
  })
}

test('a state of another model file is refused, also of one that differs in a single byte', async () => {
  const model = join(folder, 'other.gguf')
  await copyFile(join(packageRoot(), 'gguf', 'tiny', 'phi-2-tiny-q8_0.gguf'), model)
  await assert.doesNotReject(
    goOn(saved, { model }).then(({ restored }) => assert.deepEqual(restored, { tokens: state.tokens })),
  )
  const bytes = await readFile(model)
  bytes[bytes.length - 1]! ^= 1
  await writeFile(model, bytes)
  const { restored } = await goOn(saved, { model })
  assert.equal(restored!.tokens, 0)
  assert.match(restored!.error!.message, /saved with another model file/)
})

test('a model file that was replaced after it was loaded is not taken for the one in memory', async () => {
  const model = join(folder, 'replaced.gguf')
  await copyFile(join(packageRoot(), 'gguf', 'tiny', 'phi-2-tiny-q8_0.gguf'), model)
  await using loaded = await Phi2.load({ model })
  await utimes(model, 1, 1)
  await assert.rejects(loaded.chat(template).save({ state: join(folder, 'no.kv') }), {
    code: 'PHI2_IO',
    message: /replaced since the model was loaded/,
  })
  await assert.rejects(stat(join(folder, 'no.kv')), { code: 'ENOENT' })
})

test('what was sound before the damage is used', async () => {
  await emptyCache()
  const file = join(folder, 'damaged.kv')
  const bytes = await readFile(state.file)
  bytes[bytes.length - 1]! ^= 1
  await writeFile(file, bytes)
  const chat = phi2.chat({ ...saved, state: { ...state, file } })
  const answer = await chat.say(question, greedy)
  const { tokens, error } = chat.restored!
  assert.equal(tokens, Math.floor(state.tokens / 64) * 64)
  assert.match(error!.message, /damaged: the hash of its cells differs/)
  assert.equal(answer.usage.cachedTokens, tokens)
  assert.equal(answer.text, unbroken.text)
})

test('a piece that is still on its way into the cache when the next one proves damaged counts as restored', async () => {
  const file = join(folder, 'second.kv')
  const bytes = await readFile(state.file)
  bytes[bytes.length - (state.tokens - 64) * phi2.internals.engine.cellBytes]! ^= 1
  await writeFile(file, bytes)
  await using one = await Phi2.load({ model: 'tiny', maxSequences: 1 })
  const long = one.complete('Once upon a time', { maxTokens: 100, logitBias: { 50256: -Infinity } })
  const chat = one.chat({ ...saved, state: { ...state, file } })
  await assert.rejects(chat.restoreState(), /damaged/)
  assert.equal(chat.restored!.tokens, 64)
  await long
})

for (const flashAttention of [true, false]) {
  test(`the largest numbers that are let in spoil their own chat and no other, ${flashAttention ? 'with' : 'without'} flash attention`, async () => {
    const extreme = await forged((_, cells) => {
      for (let offset = 0; offset < cells.length; offset += 2)
        cells.writeUInt16LE(offset % 6 === 0 ? 0x7bff : 0xfbff, offset)
    })
    await using other = await Phi2.load({ model: 'tiny', flashAttention })
    const expected = await other.ask('Why is the sky blue?')
    const chat = other.chat(extreme)
    const beside = other.ask('Why is the sky blue?')
    // Sums of such numbers can overflow.
    await chat
      .say(question, { ...greedy, maxTokens: 40 })
      .catch((error) => assert.equal((error as Phi2Error).code, 'PHI2_DECODE_FAILED'))
    assert.deepEqual(chat.restored, { tokens: state.tokens })
    assert.equal((await beside).text, expected.text)
    assert.equal((await other.ask('Why is the sky blue?')).text, expected.text)
  })
}

test('an aborted save leaves no file, and the older one stays', async () => {
  const place = await mkdtemp(join(folder, 'abort-'))
  const path = join(place, 'chat.kv')
  await writeFile(path, 'older')
  for (const when of ['before', 'between'] as const) {
    const aborter = new AbortController()
    if (when === 'before') aborter.abort(new Error('mine'))
    const saving = phi2.chat(template).save({
      state: path,
      signal: aborter.signal,
      onProgress: () => aborter.abort(new Error('mine')),
    })
    await assert.rejects(saving, /mine/)
    assert.deepEqual(await readdir(place), ['chat.kv'])
    assert.equal(await readFile(path, 'utf8'), 'older')
  }
  await phi2.chat(template).save({ state: path })
  assert.equal((await stat(path)).size, state.bytes)
})

test('a restoring that was aborted can be tried again', async () => {
  await emptyCache()
  const chat = phi2.chat(saved)
  const aborter = new AbortController()
  const aborted = chat.restoreState({ signal: aborter.signal, onProgress: () => aborter.abort(new Error('mine')) })
  await assert.rejects(aborted, /mine/)
  assert.equal(chat.restored, undefined)
  assert.equal(await chat.restoreState(), state.tokens)
})

test('of several who wait for the same restoring, an abort ends the waiting of one alone', async () => {
  await using one = await Phi2.load({ model: 'tiny', maxSequences: 1 })
  const long = one.complete('Once upon a time', { maxTokens: 200, logitBias: { 50256: -Infinity } })
  const chat = one.chat(saved)
  const [first, second] = [new AbortController(), new AbortController()]
  const aborted = [first, second].map(({ signal }) => chat.restoreState({ signal }))
  const restoring = chat.fork().restoreState()
  second.abort(new Error('of the second'))
  await assert.rejects(aborted[1]!, /of the second/)
  first.abort(new Error('of the first'))
  await assert.rejects(aborted[0]!, /of the first/)
  assert.equal(chat.restored, undefined)
  await long
  assert.equal(await restoring, state.tokens)
})

test('a restoring that no more may wait for is refused with PHI2_BUSY, and can be tried again', async () => {
  await using one = await Phi2.load({ model: 'tiny', maxSequences: 1, maxQueue: 1 })
  const stop = new AbortController()
  const endless = { maxTokens: 1900, logitBias: { 50256: -Infinity }, signal: stop.signal }
  const running = ['Once upon a time', 'A long time ago'].map((text) => one.complete(text, endless))
  while (one.stats.active + one.stats.queued < 2) await sleep(1)
  const chat = one.chat(saved)
  await assert.rejects(chat.restoreState(), {
    code: 'PHI2_BUSY',
    message: /chat\.kv was not used: 1 requests wait.* maxQueue/,
  })
  assert.equal(chat.restored!.tokens, 0)
  stop.abort()
  await Promise.allSettled(running)
  assert.equal(await chat.restoreState(), state.tokens)
  assert.deepEqual(chat.restored, { tokens: state.tokens })
})

test('a model file that could not be read for a while can be told again when it is back', async () => {
  const model = join(folder, 'away.gguf')
  await copyFile(join(packageRoot(), 'gguf', 'tiny', 'phi-2-tiny-q8_0.gguf'), model)
  await using loaded = await Phi2.load({ model })
  await rename(model, `${model}.away`)
  const path = join(folder, 'away.kv')
  await assert.rejects(loaded.chat(template).save({ state: path }), {
    code: 'PHI2_IO',
    message: /away\.gguf cannot be/,
  })
  await rename(`${model}.away`, model)
  const { state: own } = await loaded.chat(template).save({ state: path })
  assert.equal(own!.tokens, state.tokens)
})

test('where nothing can be written the reason is told', async () => {
  await assert.rejects(phi2.chat().save({ state: join(folder, 'no', 'chat.kv') }), { code: 'PHI2_IO' })
  await assert.rejects(phi2.chat().save({ state: folder }), { code: 'PHI2_IO' })
})

test('wrong options are refused', async () => {
  const wrong: unknown[] = [{}, { state: '' }, { state: 1 }, { state: 'a', onProgress: 1 }, { file: 'a' }, null]
  for (const options of wrong) {
    await assert.rejects(async () => phi2.chat().save(options as { state: string }), { code: 'PHI2_INVALID_OPTION' })
  }
  await assert.rejects(phi2.chat().restoreState({ strict: true } as object), { code: 'PHI2_INVALID_OPTION' })
})

test('a saved state that is described wrongly makes no chat', () => {
  const wrong: unknown[] = [null, 1, {}, { ...state, file: '' }, { ...state, sha256: 'a' }, { ...state, tokens: 0 }]
  for (const value of [...wrong, { ...state, droppedTurns: turns.length + 1 }, { ...state, bytes: Number.NaN }]) {
    assert.throws(() => phi2.chat({ ...saved, state: value } as SavedChat), { code: 'PHI2_INVALID_TRANSCRIPT' })
  }
})

test('a closed model saves and restores nothing, and what runs ends', async () => {
  const other = await Phi2.load({ model: 'tiny' })
  const chat = other.chat(saved)
  const saving = other.chat(template).save({ state: join(folder, 'closed.kv') })
  const closed = Promise.all([saving, chat.restoreState()].map((work) => assert.rejects(work, { code: 'PHI2_CLOSED' })))
  await other.close()
  await closed
  await assert.rejects(other.chat(saved).restoreState(), { code: 'PHI2_CLOSED' })
  await assert.rejects(stat(join(folder, 'closed.kv')), { code: 'ENOENT' })
})

test('the addon refuses cells that are not whole, or lie outside of the tokens', async () => {
  const { engine } = phi2.internals
  const tokens = Int32Array.from([10, 11, 12])
  const cells = (count: number) => new Uint8Array(count * engine.cellBytes)
  const wrong: [Int32Array, number, Uint8Array][] = [
    [tokens, 0, cells(4)],
    [tokens, 1, cells(3)],
    [tokens, -1, cells(1)],
    [tokens, 0.5, cells(1)],
    [tokens, Number.NaN, cells(1)],
    [tokens, 2 ** 53, cells(1)],
    [tokens, 0, cells(0)],
    [tokens, 0, cells(1).subarray(1)],
    [[1] as unknown as Int32Array, 0, cells(1)],
    [tokens, 0, [1] as unknown as Uint8Array],
  ]
  for (const [given, first, bytes] of wrong) {
    assert.throws(() => engine.readCells(given, first, bytes), { code: 'PHI2_INVALID_OPTION' })
    assert.throws(() => engine.writeCells(given, first, bytes), { code: 'PHI2_INVALID_OPTION' })
  }
  assert.equal(await engine.readCells(tokens, 1, cells(2)), false)
  assert.equal(await engine.writeCells(tokens, 1, cells(2)).promise, false, 'nothing is before them')
  await assert.rejects(engine.writeCells(Int32Array.from([1 << 30]), 0, cells(1)).promise, {
    code: 'PHI2_INVALID_OPTION',
  })
})

test('no change of a file passes: it is refused with a code, or what it holds is what was saved', async () => {
  const original = await readFile(state.file)
  const file = join(folder, 'mutated.kv')
  let random = 7
  const below = (limit: number): number => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0
    return random % limit
  }
  const outcomes: Record<string, number> = {}
  const rounds = 300
  for (let round = 0; round < rounds; round++) {
    const bytes = Buffer.from(original)
    for (let change = 0; change <= round % 3; change++) {
      // Headers are small: every other change is made there.
      bytes[below(change % 2 === 0 ? 1500 : bytes.length)]! ^= 1 << below(8)
    }
    await writeFile(file, round % 10 === 0 ? bytes.subarray(0, below(bytes.length)) : bytes)
    await emptyCache()
    const outcome = await phi2
      .chat({ ...saved, state: { ...state, file } })
      .restoreState()
      .then(String, (error: { code: string }) => error.code)
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
  }
  const unchanged = outcomes[state.tokens] ?? 0
  assert.equal(outcomes.PHI2_INVALID_STATE, rounds - unchanged, JSON.stringify(outcomes))
  assert.ok(unchanged < 10)
  assert.equal((await phi2.chat(template).say(question, greedy)).text, unbroken.text)
  await rm(file)
})
