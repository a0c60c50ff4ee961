import { optionError } from './errors.js'
import type { StopProfile, StopProfileName, StopRule, TextRule, Trim } from './types.js'

const maxRules = 64
const maxRuleBytes = 1024
const maxDedent = 1000

/** Phi-2's end-of-text token as text. The token itself always ends an answer. */
export const endOfText = '<|endoftext|>'

/** The same, spelt out by ordinary tokens, as a base model sometimes does. */
const writtenEndOfText: TextRule = { text: endOfText }

/** Marks that are never part of an answer. */
const label = (text: string): TextRule => ({ text, at: 'line-start' })

/** Marks of further exercises. They count once the answer has a full sentence: an answer may begin with them. */
const runOn = (text: string): TextRule => ({ text, at: 'line-start', after: 'sentence' })

/** Words that begin a further exercise as a heading, and a sentence otherwise: "Practice makes perfect." */
const runOnHeading = (text: string): TextRule => ({ ...runOn(text), heading: true })

const qa: StopProfile = {
  rules: [
    writtenEndOfText,
    label('Instruct:'),
    label('Output:'),
    runOnHeading('Exercise'),
    runOnHeading('Exercises'),
    runOnHeading('Follow-up'),
    runOnHeading('Follow up'),
    runOn('Question:'),
    runOn('Answer:'),
    runOnHeading('Solution'),
    runOn('Instruction:'),
    runOn('Input:'),
    runOnHeading('Bonus'),
    runOnHeading('Practice'),
    runOnHeading('Now try'),
  ],
  trim: 'both',
}

/**
 * More marks at which Phi-2 was seen to run on. They can be part of a good answer, so they are not in `qa`.
 *
 * @example
 * await phi2.ask(question, { profile: { rules: [...stopProfiles.qa.rules, ...qaExtras], trim: 'both' } })
 */
export const qaExtras: readonly TextRule[] = ['## Your task', 'Illustration:', 'Student:', 'Teacher:'].map(label)

/** Ends an answer where the model goes on as either speaker. */
export function chatProfile(user: string, assistant: string): StopProfile {
  return { rules: [writtenEndOfText, label(`${user}:`), label(`${assistant}:`)], trim: 'both' }
}

/** Ends the body of a block whose head is indented by `indent` columns. */
export function codeProfile(indent: number): StopProfile {
  return { rules: [writtenEndOfText, { dedent: indent }, label('```')], trim: 'code' }
}

/** The stop profiles of Phi-2's formats: `chat` for Alice and Bob, `code` for a function that is not indented. */
export const stopProfiles: Readonly<Record<StopProfileName, StopProfile>> = {
  qa,
  chat: chatProfile('Alice', 'Bob'),
  code: codeProfile(0),
  none: { rules: [], trim: 'none' },
}

/** What `Answer.stop` calls a rule: its text, or `dedent`. */
export function ruleName(rule: StopRule): string {
  return 'dedent' in rule ? 'dedent' : rule.text
}

/** The rules of one answer: the profile's, then the caller's own texts, which stop anywhere. */
export function combineRules(profile: StopProfile, stop: readonly string[]): StopRule[] {
  return [...profile.rules, ...stop.map((text) => ({ text }))]
}

export function isStopProfileName(value: unknown): value is StopProfileName {
  return typeof value === 'string' && Object.hasOwn(stopProfiles, value)
}

/**
 * The `stop` option as a list: one text or up to 64, none empty, each of at most 1024 bytes in UTF-8.
 * @throws {TypeError | RangeError} `PHI2_INVALID_OPTION`
 */
export function parseStop(stop: unknown): string[] {
  if (stop === undefined) return []
  if (!Array.isArray(stop)) return [parseText(stop, 'stop')]
  if (stop.length > maxRules) throw invalid('range', `at most ${maxRules} texts`, 'stop', stop)
  return Array.from(stop, (text, i) => parseText(text, `stop[${i}]`))
}

/**
 * The `profile` option: a name, or rules of the caller's own, at most 64.
 * @throws {TypeError | RangeError} `PHI2_INVALID_OPTION`
 */
export function parseStopProfile(profile: unknown): StopProfile {
  if (isStopProfileName(profile)) return stopProfiles[profile]
  if (typeof profile === 'string')
    throw invalid('range', `one of ${listed(Object.keys(stopProfiles))}`, 'profile', profile)
  const { rules, trim } = parseObject(profile, 'profile', ['rules', 'trim'], 'the name of a stop profile or an object')
  if (!Array.isArray(rules)) throw invalid('type', 'an array', 'profile.rules', rules)
  if (rules.length > maxRules) throw invalid('range', `at most ${maxRules} rules`, 'profile.rules', rules)
  return {
    rules: Array.from(rules, (rule, i) => parseRule(rule, `profile.rules[${i}]`)),
    trim: parseWord<Trim>(trim, 'profile.trim', ['both', 'code', 'none']),
  }
}

function parseRule(rule: unknown, name: string): StopRule {
  const { dedent, text, at, after, heading } = parseObject(rule, name, ['dedent', 'text', 'at', 'after', 'heading'])
  if (dedent !== undefined) {
    parseObject(rule, name, ['dedent'], 'either a dedent rule or a text rule')
    if (typeof dedent !== 'number') throw invalid('type', `an integer from 0 to ${maxDedent}`, `${name}.dedent`, dedent)
    if (!Number.isInteger(dedent) || dedent < 0 || dedent > maxDedent) {
      throw invalid('range', `an integer from 0 to ${maxDedent}`, `${name}.dedent`, dedent)
    }
    return { dedent }
  }
  if (heading !== undefined && typeof heading !== 'boolean')
    throw invalid('type', 'a boolean', `${name}.heading`, heading)
  const parsed = {
    text: parseText(text, `${name}.text`),
    ...(at !== undefined && { at: parseWord<'anywhere' | 'line-start'>(at, `${name}.at`, ['anywhere', 'line-start']) }),
    ...(after !== undefined && { after: parseWord<'sentence'>(after, `${name}.after`, ['sentence']) }),
    ...(heading !== undefined && { heading }),
  }
  if ((parsed.after || parsed.heading) && parsed.at !== 'line-start') {
    throw invalid('range', `'line-start', which after and heading need,`, `${name}.at`, at)
  }
  return parsed
}

function parseText(value: unknown, name: string): string {
  const expected = `a non-empty string of at most ${maxRuleBytes} bytes`
  if (typeof value !== 'string') throw invalid('type', expected, name, value)
  if (value === '' || Buffer.byteLength(value) > maxRuleBytes) throw invalid('range', expected, name, value)
  return value
}

function parseWord<Word extends string>(value: unknown, name: string, words: readonly Word[]): Word {
  const word = words.find((candidate) => candidate === value)
  if (word !== undefined) return word
  const expected = words.length === 1 ? `'${words[0]}'` : `one of ${listed(words)}`
  throw invalid(typeof value === 'string' ? 'range' : 'type', expected, name, value)
}

/** An object that has no keys but these. */
function parseObject<Key extends string>(
  value: unknown,
  name: string,
  keys: readonly Key[],
  expected = 'an object',
): Partial<Record<Key, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('type', expected, name, value)
  const unknown = Object.keys(value).find((key) => !keys.includes(key as Key))
  if (unknown !== undefined) {
    throw optionError(
      'type',
      `Expected ${expected} with only ${listed(keys)} for ${name} but received the key '${unknown}'`,
    )
  }
  return value
}

function invalid(kind: 'type' | 'range', expected: string, name: string, value: unknown): Error {
  return optionError(kind, `Expected ${expected} for ${name} but received ${shown(value)} of type ${typeof value}`)
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'an object'
  if (typeof value !== 'string') return String(value)
  return value.length > 40 ? `'${value.slice(0, 40)}…' (${Buffer.byteLength(value)} bytes)` : `'${value}'`
}

function listed(words: readonly string[]): string {
  return words.map((word) => `'${word}'`).join(', ')
}
