/**
 * Control characters that act on a terminal, those that turn the direction of text, and the line separators; tab and
 * line feed are left alone.
 */
const UNSAFE = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

/**
 * Text out of a file or from a server as it can be shown: what would steer the terminal is written as `\\u001b`. Valid
 * JSON stays valid JSON of the same meaning.
 */
export function printable(text: string): string {
  return text.replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** The same on one line: a line feed out of a file must not begin a line of its own. */
export function oneLine(text: string): string {
  return printable(text).replace(/\n/g, '\\n').replace(/\t/g, '\\t')
}
