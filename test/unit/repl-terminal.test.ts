import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type ReplOptions, runRepl } from '../../src/cli/repl.js'
import { FakePhi2, Keyboard, type Reply, Sink, until } from '../cli/fakes.js'

const CTRL_C = '\x03'
const CTRL_D = '\x04'

/** A REPL at a fake terminal: `type` presses keys, `sees` waits for what must appear on the screen. */
function open(reply?: (text: string) => Reply, options: Partial<ReplOptions> = {}) {
  const phi2 = new FakePhi2(reply)
  const keyboard = new Keyboard()
  const screen = new Sink({ isTTY: true })
  const signal = new AbortController().signal
  // As in a real terminal, everything shows on one screen.
  const streams = { input: keyboard, output: screen, notes: screen, terminal: screen }
  const done = runRepl(phi2, streams, { signal, ...options })
  let seen = 0
  return {
    phi2,
    keyboard,
    screen,
    done,
    type: (keys: string | Buffer) => keyboard.write(keys),
    /** Waits for a text after what was already seen, and gives what came before it. */
    async sees(text: string): Promise<string> {
      await until(
        () => screen.text.indexOf(text, seen) !== -1,
        () => screen.text.slice(seen),
      )
      const at = screen.text.indexOf(text, seen)
      const between = screen.text.slice(seen, at)
      seen = at + text.length
      return between
    },
  }
}

const endless = (text: string): Reply => ({ chunks: ['It is ', text, ' '], endless: true })

test('a question gets an answer after the label, and the prompt comes back', async () => {
  const repl = open()
  await repl.sees('Alice: ')
  repl.type('hello\r')
  await repl.sees('Bob: You said hello.\n')
  await repl.sees('Alice: ')
  repl.type('/exit\r')
  assert.equal(await repl.done, 0)
})

test('the labels are the names of the speakers', async () => {
  const repl = open(undefined, { chat: { user: 'Ann', assistant: 'Ben' } })
  await repl.sees('Ann: ')
  repl.type('hi\r')
  await repl.sees('Ben: You said hi.')
  repl.type(CTRL_D)
  assert.equal(await repl.done, 0)
})

test('Ctrl-C stops the answer, keeps what was said, and the program goes on', async () => {
  const repl = open((text) => (text === 'long' ? endless(text) : { chunks: ['short'] }))
  await repl.sees('Alice: ')
  repl.type('long\r')
  await repl.sees('Bob: It is long ')
  repl.type(CTRL_C)
  await repl.sees('\n(stopped)\n')
  await repl.sees('Alice: ')
  assert.deepEqual(repl.phi2.lastChat.turns, [{ user: 'long', assistant: 'It is long ' }])
  repl.type('again\r')
  await repl.sees('Bob: short\n')
  repl.type(CTRL_D)
  assert.equal(await repl.done, 0)
})

test('Ctrl-C at an empty prompt says how to leave, a second one leaves', async () => {
  const repl = open()
  await repl.sees('Alice: ')
  repl.type(CTRL_C)
  await repl.sees('\n(Ctrl-D or /exit to leave)\n')
  await repl.sees('Alice: ')
  repl.type(CTRL_C)
  assert.equal(await repl.done, 0)
})

test('two Ctrl-C that are not consecutive do not leave', async () => {
  const repl = open()
  await repl.sees('Alice: ')
  repl.type(CTRL_C)
  await repl.sees('to leave)\n')
  await repl.sees('Alice: ')
  repl.type('hi\r')
  await repl.sees('Bob: You said hi.')
  await repl.sees('Alice: ')
  repl.type(CTRL_C)
  await repl.sees('to leave)\n')
  await repl.sees('Alice: ')
  repl.type('still here\r')
  await repl.sees('You said still here.')
  repl.type(CTRL_D)
  assert.equal(await repl.done, 0)
})

test('Ctrl-C on a half-typed line clears the line and counts as no wish to leave', async () => {
  const repl = open()
  await repl.sees('Alice: ')
  repl.type('half')
  await repl.sees('half')
  repl.type(CTRL_C)
  repl.type('whole\r')
  await repl.sees('You said whole.')
  assert.deepEqual(
    repl.phi2.lastChat.turns.map((turn) => turn.user),
    ['whole'],
  )
  assert.ok(!repl.screen.text.includes('to leave'))
  repl.type(CTRL_D)
  assert.equal(await repl.done, 0)
})

test('Ctrl-D at the prompt leaves with 0 on a line of its own', async () => {
  const repl = open()
  await repl.sees('Alice: ')
  repl.type(CTRL_D)
  assert.equal(await repl.done, 0)
  assert.ok(repl.screen.text.endsWith('\n'))
})

test('what is typed during an answer stays out of it and waits at the next prompt', async () => {
  let finish = (): void => {}
  const repl = open((text) => (text === 'first' ? endless(text) : { chunks: ['You said ', text] }))
  await repl.sees('Alice: ')
  repl.type('first\r')
  await repl.sees('It is first ')
  repl.type(CTRL_C)
  repl.type('sec')
  repl.type('ond\r')
  const between = await repl.sees('(stopped)')
  assert.ok(!between.includes('sec'), between)
  await repl.sees('Bob: You said second\n')
  finish = () => repl.type(CTRL_D)
  finish()
  assert.equal(await repl.done, 0)
})

test('keys typed before a Ctrl-C that stops an answer are thrown away, as a terminal does', async () => {
  const repl = open((text) => (text === 'first' ? endless(text) : { chunks: ['You said ', text] }))
  await repl.sees('Alice: ')
  repl.type('first\r')
  await repl.sees('It is first ')
  repl.type('junk')
  repl.type(`more${CTRL_C}kept\r`)
  await repl.sees('(stopped)')
  await repl.sees('You said kept\n')
  repl.type(CTRL_D)
  assert.equal(await repl.done, 0)
})

test('lines pasted at once are turns one after the other, each shown at its prompt', async () => {
  const repl = open()
  await repl.sees('Alice: ')
  repl.type('one\rtwo\rthree\r')
  await repl.sees('Bob: You said one.\nAlice: two\nBob: You said two.\nAlice: three\nBob: You said three.\n')
  repl.type(CTRL_D)
  assert.equal(await repl.done, 0)
})

test('a failed turn at a terminal is told and the exit code stays 0', async () => {
  const repl = open(() => ({ chunks: ['a'], failure: new Error('broken') }))
  await repl.sees('Alice: ')
  repl.type('x\r')
  await repl.sees('Bob: a\nphi2: broken\n')
  await repl.sees('Alice: ')
  repl.type(CTRL_D)
  assert.equal(await repl.done, 0)
})

test('the keyboard is in raw mode while the REPL runs, and as it was afterwards', async () => {
  const repl = open()
  await repl.sees('Alice: ')
  assert.equal(repl.keyboard.isRaw, true)
  repl.type('/exit\r')
  await repl.done
  assert.equal(repl.keyboard.isRaw, false)
  assert.equal(repl.keyboard.listenerCount('data'), 0)
  assert.equal(repl.keyboard.isPaused(), true)
})

test('the tab key completes a command', async () => {
  const repl = open()
  await repl.sees('Alice: ')
  repl.type('/he\t')
  await repl.sees('/help')
  repl.type('\r')
  await repl.sees('/retry')
  repl.type(CTRL_D)
  assert.equal(await repl.done, 0)
})

test('the arrow keys bring back what was said before', async () => {
  const repl = open()
  await repl.sees('Alice: ')
  repl.type('once\r')
  await repl.sees('You said once.')
  await repl.sees('Alice: ')
  repl.type('\x1b[A')
  await repl.sees('once')
  repl.type('\r')
  await repl.sees('You said once.')
  repl.type(CTRL_D)
  assert.equal(await repl.done, 0)
})

test('prompts go to the terminal and answers to the output when these are two streams', async () => {
  const keyboard = new Keyboard()
  const [output, terminal] = [new Sink(), new Sink({ isTTY: true })]
  const signal = new AbortController().signal
  const done = runRepl(new FakePhi2(), { input: keyboard, output, notes: terminal, terminal }, { signal })
  keyboard.write('hi\r')
  await until(
    () => output.text !== '',
    () => terminal.text,
  )
  keyboard.write(CTRL_D)
  assert.equal(await done, 0)
  assert.equal(output.text, 'You said hi.\n')
  assert.match(terminal.text, /Alice: .*Bob: /s)
})

test('however keystrokes are cut into chunks, every line arrives whole and in order', async () => {
  const line = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }).map((text) => `x${text.trim()}x`)
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { minLength: 1, maxLength: 4 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
      async (lines, cuts) => {
        const said = lines.map((text) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ''))
        const repl = open()
        const bytes = Buffer.from(said.map((text) => `${text}\r`).join(''))
        for (let at = 0; at < bytes.length; ) {
          const size = cuts.next().value
          repl.type(bytes.subarray(at, at + size))
          at += size
        }
        await until(
          () => repl.phi2.lastChat.turns.length === said.length,
          () => repl.screen.text,
        )
        assert.deepEqual(
          repl.phi2.lastChat.turns.map((turn) => turn.user),
          said,
        )
        repl.type(CTRL_D)
        assert.equal(await repl.done, 0)
      },
    ),
    { numRuns: 30 },
  )
})
