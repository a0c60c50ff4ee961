import { Phi2Error } from './errors.js'
import type { NativeEngine } from './native.js'

// About a millisecond of tokenizing: longer texts go to another thread.
const shortText = 4096

/**
 * Tokens of a prompt. One that is too long whatever it says is refused before it is tokenized, which takes its time.
 * @throws {Phi2Error} `PHI2_CONTEXT_FULL`
 */
export async function tokenizePrompt(engine: NativeEngine, text: string, special: boolean): Promise<Int32Array> {
  const bytes = Buffer.byteLength(text)
  const { maxPromptBytes } = engine
  if (bytes > maxPromptBytes) {
    const { sequenceSize } = engine.info
    const atLeast = Math.ceil((bytes / maxPromptBytes) * sequenceSize)
    throw new Phi2Error(
      'PHI2_CONTEXT_FULL',
      `The prompt has ${bytes} bytes, which is more than ${atLeast} tokens, but a sequence holds at most ${sequenceSize}. Shorten the prompt.`,
    )
  }
  return tokenizeText(engine, text, special)
}

/** Tokens of a text without ever blocking the event loop for long. */
export async function tokenizeText(engine: NativeEngine, text: string, special: boolean): Promise<Int32Array> {
  return text.length <= shortText ? engine.tokenize(text, special) : engine.tokenizeAsync(text, special)
}
