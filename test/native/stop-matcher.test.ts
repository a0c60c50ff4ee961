import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { loadAddon } from '../../src/native.js'
import { chatProfile, codeProfile, combineRules, qaExtras, ruleName, stopProfiles } from '../../src/stops.js'
import type { StopRule, TextRule } from '../../src/types.js'

const { StopMatcher } = loadAddon()

interface Cut {
  text: string
  /** Name of the rule that fired. */
  stop: string | undefined
}

function cut(rules: readonly StopRule[], pieces: readonly Uint8Array[], atLineStart = false): Cut {
  const matcher = new StopMatcher(rules, atLineStart)
  const released = pieces.map((piece) => matcher.push(piece))
  const text = Buffer.concat([...released, matcher.finish()]).toString('latin1')
  const rule = rules[matcher.rule]
  return { text, stop: rule && ruleName(rule) }
}

/** Asserts the cut for every way of cutting `text` into two pushes, and byte by byte. */
function assertCut(
  rules: readonly StopRule[],
  text: string,
  expected: string,
  stop: string | undefined,
  atLineStart = false,
): void {
  const bytes = Buffer.from(text)
  // Compared as bytes, so that half a character would show.
  const want = { text: Buffer.from(expected).toString('latin1'), stop }
  for (let at = 0; at <= bytes.length; at++) {
    assert.deepEqual(
      cut(rules, [bytes.subarray(0, at), bytes.subarray(at)], atLineStart),
      want,
      `${JSON.stringify(text)} cut at ${at}`,
    )
  }
  assert.deepEqual(cut(rules, single(bytes), atLineStart), want, `${JSON.stringify(text)} byte by byte`)
}

function assertUncut(rules: readonly StopRule[], text: string): void {
  assertCut(rules, text, text, undefined)
}

function single(bytes: Uint8Array): Uint8Array[] {
  return Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))
}

const qa = stopProfiles.qa.rules
const chat = chatProfile('Alice', 'Bob').rules
const code = codeProfile(0).rules

const answer = ' Mathematics is a lighthouse: its light – “proof” – guides us. 数学は灯台。\n\n'

/** How Phi-2 goes on at a rule. */
function continuation(rule: TextRule): string {
  return rule.text.endsWith(':') || rule.text.startsWith('#') ? `${rule.text} näch` : `${rule.text} 2:\n漢字`
}

for (const rule of [...qa, ...qaExtras] as TextRule[]) {
  test(`qa: ${rule.text} ends an answer wherever the bytes are cut`, () => {
    const rules = [...qa, ...qaExtras]
    assertCut(rules, answer + continuation(rule), answer, rule.text)
    assertCut(rules, (answer + continuation(rule)).replaceAll('\n', '\r\n'), answer.replaceAll('\n', '\r\n'), rule.text)
  })
}

for (const rule of chat as TextRule[]) {
  test(`chat: ${rule.text} ends an answer wherever the bytes are cut`, () => {
    const reply = ' Try the café – 图书馆 – first.\n'
    assertCut(chat, `${reply}${rule.text} ¿Qué?\nBob: x\nAlice: y`, reply, rule.text)
  })
}

test('code: each rule ends a body wherever the bytes are cut', () => {
  const body = '\n   for i in range(1, n + 1):\n      print("é", i)  # 素数\n\n'
  assertCut(code, `${body}print_prime(10)  # é\n`, body, 'dedent')
  assertCut(code, `${body}# Example\n@app\ndef g(é): pass`, body, 'dedent')
  assertCut(code, `${body}   s = """\n\`\`\`\nprose`, `${body}   s = """\n`, '```')
  assertCut(code, `${body}   return n<|endoftext|>Instruction: 漢`, `${body}   return n`, '<|endoftext|>')
  // At the start of a line that is not indented the block has ended before the rule is complete.
  assertCut(code, `${body}# é\n<|endoftext|>`, body, 'dedent')
  assertCut(code, `${body}\`\`\`\n`, body, 'dedent')
})

// What Phi-2 was seen to append, in other words.
const runOns: [what: string, end: string, more: string, stop: string][] = [
  [
    'another document after an ignored end token',
    '',
    '<|endoftext|>Instruction: Sum up the text.\nInput: A dog…\nOutput: Dog.',
    '<|endoftext|>',
  ],
  ['a numbered exercise', '\n\n', 'Exercise 2:\nExercise: Explain logic by the picture of a jigsaw.', 'Exercise'],
  ['a chain of exercises', '\n\n', 'Exercise: Find the sum.\n\nAnswer: 12\n\nExercise: …', 'Exercise'],
  ['a follow-up exercise', '\n\n', 'Follow-up Exercise 1: Do it with lists.\n\nSolution: …', 'Follow-up'],
  ['a numbered follow-up', '\n', 'Follow-up 1: What about greed?', 'Follow-up'],
  ['a solution under its own heading', '\n\n', 'Solution\nFirst add both.', 'Solution'],
  ['a list of exercises', '\n\n', 'Exercises:\n\n1. Name three stars.', 'Exercises'],
  ['a new turn of the template', '\n', 'Instruct: Translate this.\nOutput: …', 'Instruct:'],
  ['a practice section', '\n\n', 'Practice 3.\nAdd 1 and 2.', 'Practice'],
]

for (const [what, end, more, stop] of runOns) {
  test(`qa: ${what} is cut off`, () => {
    assertCut(qa, ` It guides us through the fog.${end}${more}`, ` It guides us through the fog.${end}`, stop)
    assertCut(qa, ` 4${end.replace(/^\n$/, '\n\n')}${more}`, ` 4${end.replace(/^\n$/, '\n\n')}`, stop)
  })
}

test('qa: words that also begin good sentences stay', () => {
  assertUncut(
    qa,
    ' Yes. It helps.\nPractice makes perfect.\nExercise is good for you, too.\nSolutions differ.\nBonus points are rare',
  )
  assertUncut(qa, ' Sleep well.\n\nExercise every day. The rule: never stop.\nFollow-up visits help.')
  assertUncut(qa, ' She said: Output: 3, not Input: 3. Exercise 2: was hard.')
})

test('qa: an answer may begin with a run-on mark, not with a label', () => {
  assertUncut(qa, '\nAnswer: 4')
  assertUncut(qa, '\nExercise 1:\nAdd 1 and 2')
  assertCut(qa, '\nOutput: 4', '\n', 'Output:')
})

test('a stop at the first token leaves an empty answer', () => {
  assertCut(qa, '<|endoftext|>rest', '', '<|endoftext|>')
  assertCut(chat, 'Bob: hi', '', 'Bob:', true)
  assertCut(code, 'print(1)', '', 'dedent', true)
  assertUncut(chat, 'Bob: hi')
})

test('a partial match at the end of generation is given out', () => {
  assertUncut(qa, ' So it is.\n<|endoftext|')
  assertUncut(qa, ' So it is.\n\nExerci')
  assertUncut(chat, ' Fine.\nAlic')
  assertUncut(code, '\n   return 1\n# the end é')
})

test('a heading that is whole at the end of generation fires', () => {
  assertCut(qa, ' So it is.\n\nExercise 2', ' So it is.\n\n', 'Exercise')
})

test('of overlapping rules the one that is complete first wins, then the one that began first', () => {
  const rules = (...texts: string[]) => combineRules(stopProfiles.none, texts)
  assertCut(rules('ébc', 'bcd', 'c'), 'xébcd', 'x', 'ébc')
  assertCut(rules('ébcd', 'bc'), 'xébcd', 'xé', 'bc')
  assertCut(rules('aab', 'ab'), 'aaaab', 'aa', 'aab')
  assertCut(rules('\n\n', '\n'), 'a\n\n', 'a', '\n')
})

test('a caller’s texts stop in mid-line beside the profile', () => {
  assertCut(combineRules(stopProfiles.qa, ['漢字']), ' One. 漢漢字字', ' One. 漢', '漢字')
})

test('a dedent waits for the end of strings, brackets and continuations', () => {
  const body = '\n   s = """\nnot the end\n"""\n   f(1,\n2)\n   x = 1 + \\\n2\n'
  assertCut(code, `${body}\nif True:\n   f()`, `${body}\n`, 'dedent')
  assertCut(code, `${body}   \`\`\`\n`, `${body}   \`\`\`\n`, undefined)
})

test('a method ends where its class goes on', () => {
  const body = '\n        return self.n\n\n'
  assertCut(codeProfile(4).rules, `${body}    @property\n    def m(self):`, body, 'dedent')
})

test('bytes come out as soon as no rule can claim them', () => {
  const matcher = new StopMatcher([{ text: '<|end|>' }], false)
  const push = (text: string) => Buffer.from(matcher.push(Buffer.from(text))).toString()
  assert.equal(push('a <'), 'a ')
  assert.equal(push('|e'), '')
  assert.equal(push('a<'), '<|ea')
  assert.equal(push('|end|>b'), '')
  assert.equal(matcher.rule, 0)
  assert.equal(push('more'), '')
  assert.equal(matcher.finish().length, 0)
})

interface Case {
  rules: TextRule[]
  pieces: string[]
  atLineStart: boolean
}

/** The first cut, found by trying every rule at every place. */
function reference({ rules, pieces, atLineStart }: Case): Cut {
  const text = pieces.join('')
  const applies = (rule: TextRule, at: number): boolean => {
    if (rule.at !== 'line-start') return true
    if (at === 0 ? !atLineStart : text[at - 1] !== '\n') return false
    return rule.after === undefined || /\.\s|[^\n]\n(.*\n)*?\n/.test(text.slice(0, at))
  }
  for (let end = 1; end <= text.length; end++) {
    const found = rules
      .map((rule) => ({ rule, at: end - rule.text.length }))
      .filter(({ rule, at }) => at >= 0 && text.startsWith(rule.text, at) && applies(rule, at))
      .sort((a, b) => a.at - b.at)[0]
    if (found) return { text: text.slice(0, found.at), stop: found.rule.text }
  }
  return { text, stop: undefined }
}

const unit = fc.constantFrom('a', 'b', '.', '\n')
const place: fc.Arbitrary<Omit<TextRule, 'text'>> = fc.constantFrom(
  {},
  { at: 'line-start' },
  { at: 'line-start', after: 'sentence' },
)
const textRule = fc
  .tuple(fc.string({ unit, minLength: 1, maxLength: 5 }), place)
  .map(([text, rest]): TextRule => ({ text, ...rest }))
const anyCase: fc.Arbitrary<Case> = fc.record({
  rules: fc.array(textRule, { maxLength: 5 }),
  pieces: fc.array(fc.string({ unit, maxLength: 6 }), { maxLength: 8 }),
  atLineStart: fc.boolean(),
})

test('random rules cut random texts in random pieces as trying every rule does', () => {
  fc.assert(
    fc.property(anyCase, (given) => {
      const pieces = given.pieces.map((piece) => Buffer.from(piece))
      assert.deepEqual(cut(given.rules, pieces, given.atLineStart), reference(given))
    }),
    { numRuns: 5000 },
  )
})

test('the profiles’ cuts do not depend on how a text is cut into pushes', () => {
  const word = fc.constantFrom(
    'Exercise',
    'Practice',
    ' 2',
    ':',
    '.',
    '\n',
    '\n',
    ' ',
    '# é',
    '@',
    '"""',
    "'",
    '(',
    ')',
    '\\',
    'x',
    'Bob:',
  )
  const text = fc.array(word, { maxLength: 30 }).map((words) => Buffer.from(words.join('')))
  fc.assert(
    fc.property(text, fc.array(fc.nat(200), { maxLength: 6 }), (bytes, places) => {
      const ends = [0, ...places.map((at) => Math.min(at, bytes.length)).sort((a, b) => a - b), bytes.length]
      const pieces = ends.slice(1).map((end, i) => bytes.subarray(ends[i], end))
      for (const rules of [qa, chat, code, [...qa, ...chat, ...code]]) {
        const whole = cut(rules, [bytes])
        assert.deepEqual(cut(rules, pieces), whole)
        assert.deepEqual(cut(rules, single(bytes)), whole)
        assert.ok(bytes.toString('latin1').startsWith(whole.text))
        if (whole.stop === undefined) assert.equal(whole.text.length, bytes.length)
      }
    }),
    { numRuns: 2000 },
  )
})
