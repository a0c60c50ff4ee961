/**
 * What a library must be able to do so that `drive` (drive.ts) can measure it. One adapter per library: they differ in
 * how the library is called and in nothing else, so that all are timed by the same code.
 */
export interface Subject {
  /** From nothing to ready. Called once. */
  load(options: SubjectOptions): Promise<void>
  /** Continues a text greedily. `stream`, from 0, is for libraries that want to be told which of their sequences it is. */
  complete(stream: number, prompt: string, options: CompleteOptions): Promise<Completed>
  /** A new conversation in the library's own chat format, in the place of the one before. */
  startChat(): void
  say(message: string, options: CompleteOptions): Promise<Completed>
  countTokens(text: string): Promise<number>
  /** Tokens of prompts and answers that went through the model since it was loaded. */
  evaluatedTokens(): number
  /** Whether nothing runs any more; undefined if the library cannot tell. */
  idle(): boolean | undefined
}

export interface SubjectOptions {
  model: string
  /** Positions for each stream, if `shared` is false; in all, if it is true. */
  contextSize: number
  /** Streams at the same time. */
  streams: number
  /** Streams share the context, where the library can do that. */
  shared?: boolean
  /** Undefined: the library's own choice. */
  threads: number | undefined
  /** All layers on the GPU, by CUDA. */
  gpu?: boolean
}

export interface CompleteOptions {
  maxTokens: number
  /** The answer is made of WORDS, so that its text falls into the same tokens again, as a trained model's does. */
  plainWords?: boolean | undefined
  /** Texts that end the answer. */
  stop?: readonly string[] | undefined
  signal?: AbortSignal | undefined
  onText?: ((text: string) => void) | undefined
}

export interface Completed {
  text: string
  /** Tokens that were sampled for this answer, those included that are not part of the text. */
  sampled: number
}
