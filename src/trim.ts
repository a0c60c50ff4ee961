import type { Trim } from './types.js'

/**
 * Trims a text while it streams: the joined outputs are the trimmed whole, however it was cut. White space is what
 * `String.prototype.trim` takes for it. Nothing that may turn out to be trailing white space is given out early.
 */
export class Trimmer {
  readonly #mode: Trim
  #started = false
  /** White space that belongs to the text only if something follows it. */
  #held = ''

  constructor(mode: Trim) {
    this.#mode = mode
  }

  /** Takes the next piece and gives what is now certain to belong to the trimmed text. */
  push(text: string): string {
    if (this.#mode === 'none') return text
    const visible = text.trimEnd()
    if (visible === '') {
      this.#held += text
      return ''
    }
    const whole = this.#held + visible
    this.#held = text.slice(visible.length)
    if (this.#started) return whole
    this.#started = true
    return this.#mode === 'both' ? whole.trimStart() : whole.replace(/^\s*\n/, '')
  }

  /** The end of the text. What is still held was trailing white space, so it is dropped and nothing is left to give. */
  finish(): string {
    this.#held = ''
    return ''
  }
}

/** Trims a whole text. */
export function trimText(text: string, mode: Trim): string {
  return new Trimmer(mode).push(text)
}
