import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { findDriver, openTerminal, type Terminal } from './terminal.js'

const CTRL_C = '\x03'
const CTRL_D = '\x04'
const QUESTION = 'What is the capital of France?'

const driver = findDriver()
const options = {
  skip: driver ? false : 'no pseudo-terminal: none of tmux, script (util-linux), python3 is on the PATH',
}

let folder = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'phi2 pty '))
})
after(() => rm(folder, { recursive: true }))

async function withTerminal(body: (terminal: Terminal) => Promise<void>): Promise<void> {
  const terminal = await openTerminal(driver!)
  try {
    await body(terminal)
  } finally {
    await terminal.close()
  }
}

/** The program has left, with this exit code, and the shell shows what is typed into it again. */
async function leftWith(code: number, terminal: Terminal): Promise<void> {
  await terminal.sees('shell> ')
  terminal.type('echo "code=$?" $((20+3))\r')
  await terminal.sees('echo "code=$?" $((20+3))\n')
  await terminal.sees(`code=${code} 23\n`)
  await terminal.sees('shell> ')
}

test('a chat at a terminal: question, answer, and every command', options, () =>
  withTerminal(async (terminal) => {
    const path = join(folder, 'my chat.json')
    terminal.type('phi2 chat --temperature 0\r')
    await terminal.sees('phi-2-tiny, the embedded toy model')
    await terminal.sees('Alice: ')
    terminal.type(`${QUESTION}\r`)
    await terminal.sees('Bob: ')
    const answer = await terminal.sees('\nAlice: ')
    assert.match(answer, /Paris/)

    terminal.type('/retry\r')
    await terminal.sees(`Bob: ${answer}\n`)
    await terminal.sees('Alice: ')
    terminal.type('/stats\r')
    await terminal.sees('turns        1\n')
    await terminal.sees('tok/s')
    await terminal.sees('Alice: ')
    terminal.type(`/save ${path}\r`)
    await terminal.sees('Saved 1 turn to ')
    await terminal.sees('Alice: ')
    assert.deepEqual(JSON.parse(await readFile(path, 'utf8')).turns, [{ user: QUESTION, assistant: answer }])
    terminal.type('/undo\r')
    await terminal.sees(`Taken back: ${QUESTION}\n`)
    await terminal.sees('Alice: ')
    terminal.type('/stats\r')
    await terminal.sees('turns        0\n')
    await terminal.sees('Alice: ')
    terminal.type(`/load ${path}\r`)
    await terminal.sees('Loaded 1 turn from ')
    await terminal.sees('Alice: ')
    terminal.type('/stat\r')
    await terminal.sees('Unknown command /stat. Did you mean /stats?')
    await terminal.sees('Alice: ')
    terminal.type('/help\r')
    await terminal.sees('/exit')
    await terminal.sees('Alice: ')
    terminal.type('/exit\r')
    await leftWith(0, terminal)
  }),
)

test('Ctrl-C stops a long answer, the program goes on, and the window stays usable', options, () =>
  withTerminal(async (terminal) => {
    terminal.type('phi2 chat --temperature 0 --profile none --max-tokens 1900\r')
    await terminal.sees('Alice: ')
    terminal.type('Hello!\r')
    await terminal.sees('Bob: ')
    await terminal.sees(' ')
    terminal.type(CTRL_C)
    const said = await terminal.sees('(stopped)\n')
    assert.ok(said.length < 3000, `${said.length} characters came before the stop`)
    await terminal.sees('Alice: ')
    terminal.resize?.(60, 20)
    terminal.type('/stats\r')
    await terminal.sees('turns        1\n')
    await terminal.sees('Alice: ')
    if (terminal.screen) assert.match(terminal.screen(), /last answer +none yet\s+Alice: ?\s*$/)

    terminal.type('half a line')
    await terminal.sees('half a line')
    terminal.type(CTRL_C)
    terminal.type('/stats\r')
    await terminal.sees('turns        1\n')
    await terminal.sees('Alice: ')
    terminal.type(CTRL_C)
    await terminal.sees('(Ctrl-D or /exit to leave)\n')
    await terminal.sees('Alice: ')
    terminal.type(CTRL_C)
    await leftWith(0, terminal)
  }),
)

test('phi2 alone opens a chat, Ctrl-D leaves it', options, () =>
  withTerminal(async (terminal) => {
    terminal.type('phi2\r')
    await terminal.sees('Alice: ')
    terminal.type(CTRL_D)
    await leftWith(0, terminal)
  }),
)

test('Ctrl-Z gives the terminal to the shell, and fg brings the chat back with the line being typed', options, () =>
  withTerminal(async (terminal) => {
    terminal.type('phi2 chat --model tiny --temperature 0\r')
    await terminal.sees('Alice: ')
    terminal.type('What is the capital')
    await terminal.sees('What is the capital')
    terminal.type('\x1a')
    await terminal.sees('shell> ')
    terminal.type('echo $((20+4))\r')
    await terminal.sees('\n24\n')
    terminal.type('fg\r')
    await terminal.sees('Alice: What is the capital')
    terminal.type(' of France?\r')
    await terminal.sees('Bob: The capital of France is Paris.\n')
    await terminal.sees('Alice: ')
    terminal.type(CTRL_D)
    await leftWith(0, terminal)
  }),
)

test('Ctrl-C ends a question with 130 after what was said', options, () =>
  withTerminal(async (terminal) => {
    terminal.type(`phi2 ask '${QUESTION}' --profile none --max-tokens 1900\r`)
    await terminal.sees('PHI2_MODEL.\n')
    await terminal.sees('The capital')
    terminal.type(CTRL_C)
    await leftWith(130, terminal)
  }),
)

test('a question at a terminal is answered on a line of its own', options, () =>
  withTerminal(async (terminal) => {
    terminal.type(`phi2 --model tiny '${QUESTION}'\r`)
    await terminal.sees('The capital of France is Paris.\nshell> ')
    terminal.type('\r')
    await leftWith(0, terminal)
    terminal.type('phi2 tokens --model tiny Hello\r')
    await terminal.sees('id     text\n15496  "Hello"\n')
    await leftWith(0, terminal)
  }),
)

test('a chat whose answers go to a file shows its prompts on the terminal', options, () =>
  withTerminal(async (terminal) => {
    const path = join(folder, 'answers.txt')
    terminal.type(`phi2 chat --temperature 0 --model tiny > '${path}'\r`)
    await terminal.sees('Alice: ')
    terminal.type(`${QUESTION}\r`)
    await terminal.sees('Bob: ')
    await terminal.sees('Alice: ')
    terminal.type(CTRL_D)
    await leftWith(0, terminal)
    assert.match(await readFile(path, 'utf8'), /^[^\n]*Paris[^\n]*\n$/)
  }),
)
