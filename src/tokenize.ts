import type { NativeEngine } from './native.js'

// About a millisecond of tokenizing: longer texts go to another thread.
const shortText = 4096

/** Tokens of a text without ever blocking the event loop for long. */
export async function tokenizeText(engine: NativeEngine, text: string, special: boolean): Promise<Int32Array> {
  return text.length <= shortText ? engine.tokenize(text, special) : engine.tokenizeAsync(text, special)
}
