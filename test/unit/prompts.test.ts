import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chatPrompt, codeIndent, codePrompt, qaPrompt } from '../../src/prompts.js'

test('a question becomes the card’s Instruct/Output format', () => {
  assert.equal(
    qaPrompt('Write a detailed analogy between mathematics and a lighthouse.'),
    'Instruct: Write a detailed analogy between mathematics and a lighthouse.\nOutput:',
  )
})

test('a question loses the white space at its end and nothing else', () => {
  assert.equal(qaPrompt('  Add:\n1 + 1 \n'), 'Instruct:   Add:\n1 + 1\nOutput:')
  assert.equal(qaPrompt('Say <|endoftext|>'), 'Instruct: Say <|endoftext|>\nOutput:')
})

const message = "I don't know why, I'm struggling to maintain focus while studying. Any suggestions?"

test('a chat begins with the person’s line and ends right after the assistant’s label', () => {
  assert.equal(
    chatPrompt({ user: 'Alice', assistant: 'Bob', turns: [], message }),
    `Alice: I don't know why, I'm struggling to maintain focus while studying. Any suggestions?\nBob:`,
  )
})

test('a chat renders the card’s conversation', () => {
  const turns = [
    { user: message, assistant: 'Well, have you tried creating a study schedule and sticking to it?' },
    {
      user: "Yes, I have, but it doesn't seem to help much.",
      assistant: 'Hmm, maybe you should try studying in a quiet environment, like the library.',
    },
  ]
  assert.equal(
    chatPrompt({ user: 'Alice', assistant: 'Bob', turns, message: 'I will.' }),
    `Alice: I don't know why, I'm struggling to maintain focus while studying. Any suggestions?
Bob: Well, have you tried creating a study schedule and sticking to it?
Alice: Yes, I have, but it doesn't seem to help much.
Bob: Hmm, maybe you should try studying in a quiet environment, like the library.
Alice: I will.
Bob:`,
  )
})

test('a prompt of a chat begins with the whole prompt and answer before it', () => {
  const labels = { user: 'User', assistant: 'Assistant', head: 'They talk.\n' }
  const first = chatPrompt({ ...labels, turns: [], message: ' Hi \n' })
  assert.equal(first, 'They talk.\nUser: Hi\nAssistant:')
  const second = chatPrompt({ ...labels, turns: [{ user: ' Hi \n', assistant: ' Hello.\n' }], message: 'Bye' })
  assert.equal(second, `${first} Hello.\nUser: Bye\nAssistant:`)
})

test('line breaks inside a message stay, and an empty text leaves no space behind', () => {
  const turns = [{ user: 'one\n\ntwo', assistant: '' }]
  assert.equal(chatPrompt({ user: 'A', assistant: 'B', head: ' ', turns, message: '' }), 'A: one\n\ntwo\nB:\nA:\nB:')
})

test('a function with a docstring becomes the card’s code format', () => {
  assert.equal(
    codePrompt({ signature: 'def print_prime(n):', docstring: 'Print all primes between 1 and n' }),
    'def print_prime(n):\n   """\n   Print all primes between 1 and n\n   """',
  )
})

test('without a docstring the prompt ends after the colon', () => {
  assert.equal(codePrompt({ signature: 'def f(n):\n' }), 'def f(n):')
  assert.equal(codePrompt({ signature: 'def f(n):', docstring: ' \n ' }), 'def f(n):')
})

test('a missing colon is added', () => {
  assert.equal(codePrompt({ signature: 'def f(n) -> dict[str, int]' }), 'def f(n) -> dict[str, int]:')
  assert.equal(codePrompt({ signature: 'def f(n): # twice' }), 'def f(n): # twice')
  assert.equal(codePrompt({ signature: "def f(n=': #')" }), "def f(n=': #'):")
})

test('a method’s docstring is three columns deeper than its def', () => {
  assert.equal(
    codePrompt({ signature: 'class A:\n    @property\n    def f(self)', docstring: 'One.' }),
    'class A:\n    @property\n    def f(self):\n       """\n       One.\n       """',
  )
})

test('a def that spreads over lines is as deep as its first line', () => {
  const signature = '@cache(size=(1,\n2))\n  def f(a,\n        b=[1,\n           2]):'
  assert.equal(codeIndent(signature), 2)
  assert.equal(codePrompt({ signature, docstring: 'x' }), `${signature}\n     """\n     x\n     """`)
  assert.equal(codeIndent('def f(\n    a,\n) -> int:'), 0)
})

test('a docstring of several lines keeps its shape and loses its common indentation', () => {
  const docstring = `
    Count.

    >>> f(1)
      1  
  `
  assert.equal(
    codePrompt({ signature: 'def f(n):', docstring }),
    'def f(n):\n   """\n   Count.\n\n   >>> f(1)\n     1\n   """',
  )
})

test('triple quotes inside a docstring do not end it', () => {
  assert.equal(
    codePrompt({ signature: 'def f():', docstring: 'Says """hi""""' }),
    'def f():\n   """\n   Says \\"\\"\\"hi\\"\\"\\""\n   """',
  )
})

test('the indentation of a signature is counted in columns', () => {
  assert.equal(codeIndent('def f():'), 0)
  assert.equal(codeIndent('class A:\n    def f(self):\n\n'), 4)
  assert.equal(codeIndent('\tdef f():'), 8)
  assert.equal(codeIndent('  \t def f():'), 9)
})

test('a blank signature and one that is not a text are refused', () => {
  assert.throws(() => codePrompt({ signature: ' \n' }), { name: 'RangeError', code: 'PHI2_INVALID_OPTION' })
  assert.throws(() => codePrompt({ signature: 1 as unknown as string }), {
    name: 'TypeError',
    code: 'PHI2_INVALID_OPTION',
  })
})
