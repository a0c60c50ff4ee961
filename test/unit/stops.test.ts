import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  chatProfile,
  codeProfile,
  combineRules,
  isStopProfileName,
  parseStop,
  parseStopProfile,
  qaExtras,
  ruleName,
  stopProfiles,
} from '../../src/stops.js'

test('qa: hard labels anywhere in the answer, run-on marks once it has a sentence', () => {
  const names = (wanted: (rule: object) => boolean) => stopProfiles.qa.rules.filter(wanted).map(ruleName)
  assert.deepEqual(
    names((rule) => !('after' in rule)),
    ['<|endoftext|>', 'Instruct:', 'Output:'],
  )
  assert.deepEqual(
    names((rule) => 'after' in rule && !('heading' in rule)),
    ['Question:', 'Answer:', 'Instruction:', 'Input:'],
  )
  assert.deepEqual(
    names((rule) => 'heading' in rule),
    ['Exercise', 'Exercises', 'Follow-up', 'Follow up', 'Solution', 'Bonus', 'Practice', 'Now try'],
  )
  assert.equal(stopProfiles.qa.trim, 'both')
})

test('chat: both speakers’ labels, Alice and Bob unless named', () => {
  assert.deepEqual(stopProfiles.chat, chatProfile('Alice', 'Bob'))
  assert.deepEqual(chatProfile('Player', 'Guard'), {
    rules: [{ text: '<|endoftext|>' }, { text: 'Player:', at: 'line-start' }, { text: 'Guard:', at: 'line-start' }],
    trim: 'both',
  })
})

test('code: the end of the block and a closing fence', () => {
  assert.deepEqual(stopProfiles.code, codeProfile(0))
  assert.deepEqual(codeProfile(4), {
    rules: [{ text: '<|endoftext|>' }, { dedent: 4 }, { text: '```', at: 'line-start' }],
    trim: 'code',
  })
})

test('none: no rules and nothing trimmed', () => {
  assert.deepEqual(stopProfiles.none, { rules: [], trim: 'none' })
})

test('every profile of this package passes its own validation', () => {
  for (const profile of Object.values(stopProfiles)) assert.deepEqual(parseStopProfile({ ...profile }), profile)
  assert.deepEqual(parseStopProfile({ rules: qaExtras, trim: 'both' }).rules, qaExtras)
})

test('a rule is named by its text, the end of a block by dedent', () => {
  assert.equal(ruleName({ text: 'Bob:', at: 'line-start' }), 'Bob:')
  assert.equal(ruleName({ dedent: 0 }), 'dedent')
})

test('names of profiles are told from other values', () => {
  assert.deepEqual(['qa', 'chat', 'code', 'none'].map(isStopProfileName), [true, true, true, true])
  assert.deepEqual(['QA', '', 'toString', null, undefined, 0].map(isStopProfileName), Array(6).fill(false))
})

test('the caller’s texts come after the profile’s rules', () => {
  assert.deepEqual(combineRules(codeProfile(0), ['END']), [...codeProfile(0).rules, { text: 'END' }])
})

test('stop is one text, a list, or nothing', () => {
  assert.deepEqual(parseStop(undefined), [])
  assert.deepEqual(parseStop('\n\n'), ['\n\n'])
  assert.deepEqual(parseStop(['a', 'é'.repeat(512)]), ['a', 'é'.repeat(512)])
  assert.equal(parseStop(Array(64).fill('x')).length, 64)
})

const refusals: [what: string, run: () => unknown, error: 'TypeError' | 'RangeError', message: RegExp | string][] = [
  [
    'an empty stop text',
    () => parseStop(['a', '']),
    'RangeError',
    "Expected a non-empty string of at most 1024 bytes for stop[1] but received '' of type string",
  ],
  ['a stop text of 1025 bytes', () => parseStop(`${'é'.repeat(512)}x`), 'RangeError', /for stop but .*\(1025 bytes\)/],
  [
    '65 stop texts',
    () => parseStop(Array(65).fill('x')),
    'RangeError',
    /at most 64 texts for stop but received an array of 65/,
  ],
  ['a stop that is no text', () => parseStop(5), 'TypeError', /for stop but received 5 of type number/],
  ['null', () => parseStop(null), 'TypeError', /for stop but received null/],
  // biome-ignore lint/suspicious/noSparseArray: a hole is what is tested
  ['a hole in the list', () => parseStop(['a', , 'b']), 'TypeError', /for stop\[1\] but received undefined/],
  [
    'an unknown profile name',
    () => parseStopProfile('qna'),
    'RangeError',
    /one of 'qa', 'chat', 'code', 'none' for profile/,
  ],
  ['a profile of a wrong type', () => parseStopProfile(1), 'TypeError', /for profile but received 1 of type number/],
  ['no profile', () => parseStopProfile(undefined), 'TypeError', /for profile but received undefined/],
  [
    'an unknown key',
    () => parseStopProfile({ rules: [], trim: 'none', x: 1 }),
    'TypeError',
    /for profile but received the key 'x'/,
  ],
  ['rules that are no array', () => parseStopProfile({ rules: {}, trim: 'none' }), 'TypeError', /profile\.rules/],
  [
    '65 rules',
    () => parseStopProfile({ rules: Array(65).fill({ dedent: 0 }), trim: 'none' }),
    'RangeError',
    /at most 64 rules for profile\.rules/,
  ],
  ['a missing trim', () => parseStopProfile({ rules: [] }), 'TypeError', /for profile\.trim but received undefined/],
  [
    'an unknown trim',
    () => parseStopProfile({ rules: [], trim: 'left' }),
    'RangeError',
    /profile\.trim but received 'left'/,
  ],
]

const ruleRefusals: [what: string, rule: unknown, error: 'TypeError' | 'RangeError', message: RegExp][] = [
  ['a rule that is no object', 'x', 'TypeError', /an object for profile\.rules\[0\]/],
  ['an empty rule', {}, 'TypeError', /profile\.rules\[0\]\.text but received undefined/],
  ['an unknown key in a rule', { text: 'x', where: 'start' }, 'TypeError', /the key 'where'/],
  ['an empty text', { text: '' }, 'RangeError', /profile\.rules\[0\]\.text/],
  ['an unknown place', { text: 'x', at: 'end' }, 'RangeError', /'anywhere', 'line-start' for profile\.rules\[0\]\.at/],
  ['an unknown condition', { text: 'x', at: 'line-start', after: 'word' }, 'RangeError', /'sentence' for .*\.after/],
  [
    'a heading that is no boolean',
    { text: 'x', at: 'line-start', heading: 1 },
    'TypeError',
    /a boolean for .*\.heading/,
  ],
  ['a heading in mid-line', { text: 'x', heading: true }, 'RangeError', /'line-start', which after and heading need/],
  [
    'a condition in mid-line',
    { text: 'x', at: 'anywhere', after: 'sentence' },
    'RangeError',
    /which after and heading need/,
  ],
  ['a negative dedent', { dedent: -1 }, 'RangeError', /from 0 to 1000 for profile\.rules\[0\]\.dedent but received -1/],
  ['a fractional dedent', { dedent: 0.5 }, 'RangeError', /dedent but received 0\.5/],
  ['a dedent of NaN', { dedent: Number.NaN }, 'RangeError', /dedent but received NaN/],
  ['a dedent that is no number', { dedent: '0' }, 'TypeError', /dedent but received '0' of type string/],
  ['a dedent rule with a text', { dedent: 0, text: 'x' }, 'TypeError', /either a dedent rule or a text rule/],
]

for (const [what, rule, error, message] of ruleRefusals) {
  refusals.push([what, () => parseStopProfile({ rules: [rule], trim: 'none' }), error, message])
}

for (const [what, run, name, message] of refusals) {
  test(`${what} is refused, naming the place and what was found`, () => {
    assert.throws(run, { name, code: 'PHI2_INVALID_OPTION', message })
  })
}
