import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { runRepl } from '../../src/cli/repl.js'
import { completeCommand, replCommands } from '../../src/cli/repl-commands.js'
import { FakePhi2, piped, Sink } from '../cli/fakes.js'

let folder = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'phi2 repl '))
})
after(() => rm(folder, { recursive: true }))

/** Runs lines through the REPL and gives what the program said. */
async function run(...lines: string[]) {
  const phi2 = new FakePhi2()
  const [output, notes] = [new Sink(), new Sink()]
  const signal = new AbortController().signal
  const streams = { input: piped(lines.map((line) => `${line}\n`).join('')), output, notes, terminal: undefined }
  const code = await runRepl(phi2, streams, { signal, generate: { seed: 5, topK: 3 } })
  return { code, output: output.text, notes: notes.text, phi2 }
}

test('/help shows every command with its argument and what it does', async () => {
  const { notes } = await run('/help')
  for (const { name, argument, doc } of replCommands) {
    const line = notes.split('\n').find((text) => text.startsWith(`/${name}`))
    assert.equal(line?.replace(/ {2,}/, '  '), `/${name}${argument ? ` ${argument}` : ''}  ${doc}`)
  }
  assert.deepEqual(
    replCommands.map(({ name }) => name),
    ['help', 'reset', 'undo', 'retry', 'save', 'load', 'stats', 'exit'],
  )
})

test('an unknown command is answered with the nearest and with all that there are', async () => {
  const { notes, output, phi2 } = await run('/rety', '/frobnicate')
  const [near, far] = notes.split('\n')
  assert.match(
    near!,
    /Unknown command \/rety\. Did you mean \/retry\? The commands are \/help, .*\/save <file>.*\/exit\./,
  )
  assert.match(far!, /Unknown command \/frobnicate\. The commands are/)
  assert.equal(output, '')
  assert.deepEqual(phi2.lastChat.turns, [])
})

test('a command that takes no argument refuses one, and one that needs it asks for it', async () => {
  const { notes, phi2 } = await run('one', '/undo 2', '/save', '/load  ', `/save ${join(folder, 'a.json')} --stats`)
  assert.equal(
    notes,
    'Usage: /undo\nUsage: /save <file> [--state]\nUsage: /load <file>\nUsage: /save <file> [--state]\n',
  )
  assert.equal(phi2.lastChat.turns.length, 1)
})

test('/undo takes back the last turn only', async () => {
  const { notes, phi2 } = await run('one', 'two', '/undo')
  assert.equal(notes, 'Taken back: two\n')
  assert.deepEqual(
    phi2.lastChat.turns.map((turn) => turn.user),
    ['one'],
  )
})

test('/reset forgets all turns', async () => {
  const { notes, phi2 } = await run('one', 'two', '/reset', 'three')
  assert.equal(notes, 'All turns are forgotten.\n')
  assert.deepEqual(
    phi2.lastChat.turns.map((turn) => turn.user),
    ['three'],
  )
})

test('/retry answers the last turn again, without the seed that would give the same answer', async () => {
  const { output, phi2 } = await run('one', 'two', '/retry')
  assert.equal(output, 'You said one.\nYou said two.\nYou said two.\n')
  assert.equal(phi2.lastChat.turns.length, 2)
  assert.deepEqual(
    phi2.lastChat.asked.map(({ seed, topK }) => [seed, topK]),
    [
      [5, 3],
      [5, 3],
      [undefined, 3],
    ],
  )
})

test('/retry without a turn says so', async () => {
  const { notes, code } = await run('/retry')
  assert.equal(notes, 'There is no turn to answer again.\n')
  assert.equal(code, 0)
})

test('/stats tells the length of the chat and the cost of the last answer', async () => {
  const { notes } = await run('/stats', 'one', '/stats', '/undo', '/stats')
  const [before, after, undone] = notes.split(/^turns /m).slice(1)
  assert.match(before!, /^ +0\nchat +0 tokens; 2048 fit\nlast answer +none yet\n$/)
  assert.match(after!, /^ +1\nchat +6 tokens; 2048 fit\nlast answer +20 prompt tokens .*17\.5 tok\/s/)
  assert.match(undone!, /^ +0\nchat +0 tokens; 2048 fit\nlast answer +none yet\n$/)
})

test('/save and /load bring a chat back, with spaces in the name, quoted or not', async () => {
  const path = join(folder, 'my chat.json')
  const { notes, phi2 } = await run('one', 'two', `/save ${path}`, '/reset', `/load "${path}"`, 'three')
  assert.equal(notes, `Saved 2 turns to ${path}\nAll turns are forgotten.\nLoaded 2 turns from ${path}\n`)
  assert.equal(phi2.chats.length, 2)
  assert.deepEqual(
    phi2.lastChat.turns.map((turn) => turn.user),
    ['one', 'two', 'three'],
  )
  const saved = JSON.parse(await readFile(path, 'utf8'))
  assert.equal(saved.format, 'phi2-chat')
  assert.deepEqual(saved.turns, [
    { user: 'one', assistant: 'You said one.' },
    { user: 'two', assistant: 'You said two.' },
  ])
})

test('/save --state keeps the cache beside the chat, and /load brings it back wherever both are', async () => {
  const place = await mkdtemp(join(folder, 'state-'))
  const path = join(place, 'my chat.json')
  const { notes } = await run('one', `/save ${path} --state`)
  assert.equal(notes, `Saved 1 turn to ${path}, with 345.6 MB of state\n`)
  assert.equal(JSON.parse(await readFile(path, 'utf8')).state.file, 'my chat.json.kv')
  assert.deepEqual((await readdir(place)).sort(), ['my chat.json', 'my chat.json.kv'])
  const moved = `${place} moved`
  await rename(place, moved)
  const loaded = await run(`/load ${join(moved, 'my chat.json')}`)
  assert.equal(loaded.phi2.lastChat.restoredFrom, join(moved, 'my chat.json.kv'))
  await run('one', `/save "${join(moved, 'my chat.json')}" --state`)
  assert.equal((await readdir(moved)).length, 2)
})

test('a chat whose state cannot be used is loaded all the same, and the reason is told', async () => {
  const path = join(folder, 'without.json')
  const { notes, output } = await run('one', `/save ${path} --state`, '/reset')
  assert.match(notes, /state\nAll turns/)
  await rm(`${path}.kv`)
  const loaded = await run(`/load ${path}`, 'two')
  assert.match(
    loaded.notes,
    /^phi2: ENOENT.*without\.json\.kv.*\nThe chat is read anew with the next message\.\nLoaded 1 turn/,
  )
  assert.equal(output, 'You said one.\n')
  assert.equal(loaded.output, 'You said two.\n')
})

test('/save replaces an older file and leaves nothing else behind', async () => {
  const place = await mkdtemp(join(folder, 'save-'))
  const path = join(place, 'chat.json')
  await writeFile(path, 'old')
  await run('one', `/save ${path}`)
  assert.equal(JSON.parse(await readFile(path, 'utf8')).turns.length, 1)
  assert.deepEqual(await readdir(place), ['chat.json'])
})

test('a /save that fails is told with its reason, leaves nothing behind, and the chat goes on', async () => {
  const place = await mkdtemp(join(folder, 'fail-'))
  const path = join(place, 'no such folder', 'chat.json')
  // A folder in the place of the file: the writing works, the renaming does not.
  const { notes, output } = await run('one', `/save ${path}`, `/save ${place}`, 'two')
  assert.match(notes, /Cannot write .*no such folder.*: ENOENT\. \(PHI2_IO\)\n/)
  assert.match(notes, /Cannot write .*: (EISDIR|ENOTEMPTY|EEXIST|EPERM)\. \(PHI2_IO\)\n/)
  assert.equal(output, 'You said one.\nYou said two.\n')
  assert.deepEqual(await readdir(place), [])
  assert.deepEqual(
    (await readdir(folder)).filter((name) => name.endsWith('.tmp')),
    [],
  )
})

test('a /load that fails keeps the chat as it is', async () => {
  const path = join(folder, 'not.json')
  await writeFile(path, 'no JSON')
  const other = join(folder, 'other.json')
  await writeFile(other, '{"format": "other"}')
  const { notes, phi2 } = await run('one', `/load ${path}`, `/load ${other}`, '/load /nowhere/x.json', 'two')
  assert.match(
    notes,
    /not\.json is not JSON.*\(PHI2_INVALID_TRANSCRIPT\)\n.*other\.json holds no turns.*\(PHI2_INVALID_TRANSCRIPT\)\n.*Cannot read \/nowhere\/x\.json: ENOENT\. \(PHI2_IO\)\n/,
  )
  assert.equal(phi2.chats.length, 1)
  assert.equal(phi2.lastChat.turns.length, 2)
})

test('completion gives the commands that begin so, and nothing for other lines', () => {
  assert.deepEqual(completeCommand('/re'), [['/reset', '/retry'], '/re'])
  assert.deepEqual(completeCommand('/')[0].length, replCommands.length)
  assert.deepEqual(completeCommand('hello'), [[], 'hello'])
})
