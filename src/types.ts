/**
 * When an answer ends. Text rules are compared with the raw bytes of the generated text.
 *
 * - `at: 'line-start'` matches only where a line of the generated text begins.
 * - `after: 'sentence'` (line-start only) arms the rule once a full sentence, or a paragraph, has been generated.
 * - `heading: true` (line-start only) asks the rest of the line to make it a heading: `Exercise 2:` stops,
 *   `Exercise is good for you.` does not.
 */
export interface TextRule {
  readonly text: string
  /** @default 'anywhere' */
  readonly at?: 'anywhere' | 'line-start'
  readonly after?: 'sentence'
  readonly heading?: boolean
}

/**
 * The end of a Python block: the first line whose indentation is at most `dedent` columns and that is not blank, a
 * comment, a decorator or a continuation. Comments and decorators just before that line go with it.
 */
export interface DedentRule {
  readonly dedent: number
}

export type StopRule = TextRule | DedentRule

/** What is taken off the ends of an answer after it was cut. */
export type Trim =
  /** white space at both ends */
  | 'both'
  /** blank lines before, white space after: the indentation of the first line of code stays */
  | 'code'
  /** nothing */
  | 'none'

/** A stop profile is data: rules and a way of trimming. See `stops.ts` for the three of Phi-2's formats. */
export interface StopProfile {
  readonly rules: readonly StopRule[]
  readonly trim: Trim
}

export type StopProfileName = 'qa' | 'chat' | 'code' | 'none'

/** Don't Repeat Yourself penalty. Ranges and defaults as in llama.cpp's sampler. */
export interface DryOptions {
  /** Strength; 0 switches it off. @default 0.8 when `dry` is given */
  multiplier?: number
  /** @default 1.75 */
  base?: number
  /** Repeats up to this many tokens are free. @default 2 */
  allowedLength?: number
  /** Tokens looked back at; 0 is off, -1 the whole context. @default -1 */
  lastN?: number
  /** @default ['\n', ':', '"', '*'] */
  breakers?: string[]
}

/** Mirostat version 2. */
export interface MirostatOptions {
  /** Target surprise in nats per token. @default 5 */
  tau?: number
  /** Learning rate. @default 0.1 */
  eta?: number
}

export type Speculate = 'none' | 'lookup' | 'draft'

/** Options of one answer. Unknown or wrong-typed options throw `PHI2_INVALID_OPTION`. Ranges and defaults: `options.ts`. */
export interface GenerateOptions {
  /** Tokens generated at most. @default 512 */
  maxTokens?: number
  /** 0 is greedy. @default 0 for `ask`, `code` and `complete`, 0.7 for `chat` */
  temperature?: number
  /** Keep the k likeliest tokens; 0 is off. @default 40 */
  topK?: number
  /** Keep the likeliest tokens up to this probability mass; 1 is off. @default 0.95 */
  topP?: number
  /** Drop tokens less likely than this share of the likeliest; 0 is off. @default 0.05 */
  minP?: number
  /** Locally typical sampling; 1 is off. @default 1 */
  typicalP?: number
  /**
   * Same seed, same text on the same machine, if no other answer runs at the same time: then steps are shared, and their
   * rounding can turn a sampled text another way. With a seed the prompt is read anew, without the cache of earlier ones.
   * No seed is random; the one used is in `Answer.seed`. With `n` the answers have this seed and those after it, and the
   * same seed with the same `n` gives the same answers.
   */
  seed?: number
  /** Divides the logits of recent tokens; 1 is off. @default 1 */
  repeatPenalty?: number
  /** Subtracted once per occurrence; 0 is off. @default 0 */
  frequencyPenalty?: number
  /** Subtracted once per distinct token; 0 is off. @default 0 */
  presencePenalty?: number
  /** Tokens that the three penalties look back at, prompt included; -1 is the whole context. @default 64 */
  penaltyLastN?: number
  dry?: DryOptions
  mirostat?: MirostatOptions
  /** Added to the logit of a token id before sampling, -1000 to 1000; -Infinity bans it. */
  logitBias?: Readonly<Record<number, number>>
  /** Further texts that end the answer, anywhere in it. Never part of the text. */
  stop?: string | readonly string[]
  /** The stop profile: a name, or rules of your own. `'none'` lets a base model run on. */
  profile?: StopProfileName | StopProfile
  /** Log-probability of each token, in `Answer.logprobs`. @default false */
  logprobs?: boolean
  /** Alternatives per token, 0 to 100; more than 0 switches `logprobs` on. @default 0 */
  topLogprobs?: number
  /**
   * Guesses several tokens ahead and decodes them in one step; wrong guesses are thrown away, so the answer stays what it
   * would have been.
   *
   * - `'lookup'`: what stood before in the prompt or the answer comes again. For code to edit, texts to correct, answers
   *   that quote; where nothing repeats it costs next to nothing.
   * - `'draft'`: what the model named by {@link LoadOptions.draft} would write.
   *
   * Same text as with `'none'` as far as the engine rounds alike in steps of one and of several tokens. On CPUs it does for
   * Q4_0 and Q8_0 with `flashAttention: false`; otherwise two tokens of nearly the same probability can change places.
   *
   * @default 'draft' if a draft model was loaded, else 'none'
   */
  speculate?: Speculate
  /**
   * Guess so many tokens in every step, 1 to 63, whether they are worth it or not.
   * @default as many as pay, by the times of steps and by how often guesses were right
   */
  draftLength?: number
  /**
   * Answers to the one prompt, 1 to 64, for which it is read once. They are in `Answer.choices`, and on their way in
   * `Generation.choices`. Without a temperature they are all the same. @default 1
   *
   * @example
   * const { choices } = await phi2.ask('Name a fruit.', { n: 4, temperature: 1 })
   */
  n?: number
  /**
   * Which of several answers comes first, -100 to 100. One of a higher priority gets the next free place, takes that of a
   * lower one when there is none, and has its prompt read first. Answers of one priority share. @default 0
   */
  priority?: number
  /** Aborting rejects with `signal.reason`; the text so far stays on the `Generation`. */
  signal?: AbortSignal
  /** Chunks that an iterating consumer may lag behind before its sequence pauses. @default 32 */
  highWaterMark?: number
}

export interface Usage {
  promptTokens: number
  completionTokens: number
  totalTokens: number
  /** Prompt tokens whose KV cache was reused instead of being decoded again. */
  cachedTokens: number
  /** Guessed tokens ({@link GenerateOptions.speculate}) that became part of the answer. */
  acceptedPredictionTokens: number
  /** Guessed tokens that were decoded for nothing. */
  rejectedPredictionTokens: number
}

/** Milliseconds, by the engine's own clock. */
export interface Timings {
  /** Waiting for a place, at first and whenever it was lost to others. */
  queueMs: number
  /** From admission to the first token. */
  promptMs: number
  /** From the first to the last token. */
  decodeMs: number
  tokensPerSecond: number
}

export interface TokenAlternative {
  token: number
  text: string
  logprob: number
}

/** Natural log-probabilities of the model's own distribution (temperature 1, before penalties and filters). */
export interface TokenLogprob extends TokenAlternative {
  top: TokenAlternative[]
}

export interface Answer {
  /** The trimmed text. */
  text: string
  /** `stop`: end of text or a stop rule; `length`: `maxTokens` or the context is full. */
  finishReason: 'stop' | 'length'
  /** The rule that ended it: its text, `<|endoftext|>` for the token, `dedent` for the end of a Python block. */
  stop?: string
  usage: Usage
  timings: Timings
  /** The seed that was used. */
  seed: number
  /** Ids of the tokens that make up the text before trimming (a token that a stop cuts in two is included). */
  tokens: number[]
  /** One entry for each of `tokens`, if asked for. */
  logprobs?: TokenLogprob[]
  /**
   * With `n` above 1: all answers; the first of them is this one, with its own `usage` instead of that of all together
   * (in which the prompt counts once).
   */
  choices?: this[]
}

/** An answer by itself. */
export type OneAnswer = Omit<Answer, 'choices'>

/** Answer of `code`. `text` is the function's body. */
export interface CodeAnswer extends Answer {
  /** The whole function: signature, docstring and body. */
  source: string
}

/** Answer of `Chat.say`. */
export interface ChatAnswer extends Answer {
  /** Oldest turns left out of this prompt so that it fits the context. */
  droppedTurns: number
}

export interface CodeRequest {
  /** `def print_prime(n):`; several lines (decorators, imports, a class head) are fine, the last one opens the block. */
  signature: string
  /** Text of the docstring, without quotes. */
  docstring?: string
}

export interface ChatOptions {
  /** Label of the person. @default 'Alice' */
  user?: string
  /** Label of the model. @default 'Bob' */
  assistant?: string
  /** Text before the first turn; never dropped. Phi-2 has no system role: it is plain text at the head. */
  head?: string
}

export interface ChatTurn {
  user: string
  assistant: string
}

/** What `Chat.save()` gives and `phi2.chat(saved)` / `Chat.restore` takes. Plain JSON. */
export interface SavedChat {
  format: 'phi2-chat'
  version: 1
  user: string
  assistant: string
  head: string
  turns: ChatTurn[]
  /** Only of `save({ state })`. */
  state?: SavedState
}

/** Where the KV cache of a saved chat lies, and how its file is known again. */
export interface SavedState {
  /** As it was given to `save`; a relative one is looked for in the working directory. */
  file: string
  tokens: number
  /** Size of the file. */
  bytes: number
  /** Of the file's header, which holds the hashes of the rest. */
  sha256: string
  /** Oldest turns that are not in it, because they no longer fit the context. */
  droppedTurns: number
}

/** Options of `Chat.save` with the KV cache. */
export interface SaveStateOptions {
  /** The file to write, replaced if it is there: 320 KiB a token of a full-size Phi-2 with F16 cells. */
  state: string
  /** Aborting rejects with `signal.reason` and leaves no file. */
  signal?: AbortSignal
  /** 0 to 1. */
  onProgress?: (fraction: number) => void
}

/** Options of `Chat.restoreState`. */
export interface RestoreStateOptions {
  signal?: AbortSignal
  /** 0 to 1. */
  onProgress?: (fraction: number) => void
}

/** What became of a saved chat's state. */
export interface RestoredState {
  /** Tokens whose KV cells are back, without being decoded again. */
  tokens: number
  /** Why the rest, or all of it, could not be used: then the chat's text is read anew. */
  error?: Error
}

export type KvType = 'f16' | 'bf16' | 'f32'

/** The execution modes of Phi-2's model card, and `auto`. */
export type Mode = 'auto' | 'fp16-flash-cuda' | 'fp16-cuda' | 'fp32-cuda' | 'fp32-cpu'

/** Options of `Phi2.load`. */
export interface LoadOptions {
  /**
   * - `'q4_k_m'`, `'q8_0'` …: the model of this type in the cache, where `pull` puts it
   * - `'./phi-2.gguf'`: a path; needed with `./` only for files that are called like a name
   * - `'hf:org/name/file.gguf@revision'`, `'modelscope:…'`, `'https://…'`: from the cache, else downloaded into it
   * - `'tiny'`: the embedded model
   *
   * @default `PHI2_MODEL`, else the best Phi-2 in the cache (Q4_K_M, if it is there), else `'tiny'`
   */
  model?: string
  /**
   * The four modes of the model card fix what they name: the type of the file's weights, where all layers lie, flash
   * attention and the KV type. What is missing is an error, `PHI2_MODE_UNAVAILABLE`: there is no silent way back to the CPU.
   *
   * - `'auto'`: any file, the best device that there is, as many layers on it as fit
   * - `'fp16-flash-cuda'`: an F16 file, all layers on CUDA devices, flash attention, F16 KV
   * - `'fp16-cuda'`: the same without flash attention
   * - `'fp32-cuda'`: an F32 file, all layers on CUDA devices, F32 KV
   * - `'fp32-cpu'`: an F32 file, no GPU, F32 KV
   *
   * Without a `model` these take the F16 or F32 file in the cache. @default 'auto'
   *
   * @example
   * await using phi2 = await Phi2.load({ mode: 'fp16-cuda' })
   */
  mode?: Mode
  /** KV cells shared by all sequences; one sequence holds at most 2048 positions. @default 2048 */
  contextSize?: number
  /** Tokens decoded in one step at most, 32 to 2048. @default 512 */
  batchSize?: number
  /**
   * Tokens computed at once, 32 to 2048 and at most `batchSize`: a step of more is cut into parts of this size. Smaller parts
   * stay in the processor's cache, larger ones read the weights less often.
   * @default batchSize
   */
  microBatchSize?: number
  /** @default the physical cores, as far as they can be told; 1 for models below 200 MB */
  threads?: number
  /**
   * Layers on the GPU, the last ones first; the output layer counts as one. -1 is all, and 0 leaves the GPU alone. What does
   * not fit there is an error. @default as many as fit
   */
  gpuLayers?: number
  /**
   * Which devices hold the layers: a device (`'cuda0'`, `'vulkan1'`), all of a kind (`'cuda'`, `'vulkan'`, `'metal'`),
   * several of them in an array (or one text with commas), `'gpu'` for the best GPU or else an error, `'cpu'` for none.
   * `phi2 doctor` shows the names.
   * @default the best that there is: CUDA before Vulkan, memory of its own before the machine's, and of several alike the
   * one with most free memory, if it can hold everything, else all
   */
  device?: string | readonly string[]
  /** Only this one of the GPUs that would be used, counted from 0. */
  mainGpu?: number
  /** Each GPU's share of the layers, in their order, such as `[3, 1]`. @default by their free memory, where one is too small */
  tensorSplit?: readonly number[]
  /** @default 'auto' */
  flashAttention?: boolean | 'auto'
  /** Type of the KV cache. Quantized types do not work with Phi-2's head size 80. @default 'f16' */
  kvType?: KvType
  /**
   * A smaller model that guesses for the large one, named like `model`; its answers then default to `speculate: 'draft'`. It
   * needs the same vocabulary (Phi-1 and Phi-1.5 have it) and memory for a KV cache of its own.
   */
  draft?: string
  /** Answers decoded at the same time, 1 to 64; more wait for a place. @default 8 */
  maxSequences?: number
  /** Requests that may wait for a place; one more is refused with `PHI2_BUSY`. @default 1024 */
  maxQueue?: number
  /**
   * Options above that are not given are those which `phi2 tune` found fastest for this kind of model on this machine, if it
   * was run; `info.tuned` tells. @default true
   */
  tuned?: boolean
  /** Aborts the load, and a download before it, which is resumed the next time. */
  signal?: AbortSignal
  /** 0 to 1, while the weights are read; where they are downloaded first, that is the way to 0.9. */
  onProgress?: (fraction: number) => void
}

/** What `phi2 tune` chooses. */
export type TunedOptions = Required<Pick<LoadOptions, 'threads' | 'batchSize' | 'microBatchSize' | 'flashAttention'>>

export interface DeviceInfo {
  name: string
  description: string
  /** `igpu`: one without memory of its own. */
  type: 'cpu' | 'gpu' | 'igpu' | 'accel'
  backend: string
  /** Bus address, where there is one: a card that two backends can use is a device of each. */
  id?: string
  memoryTotal: number
  memoryFree: number
}

/** What one device holds, in bytes. */
export interface DeviceShare {
  /** `CPU` for the machine's own memory. */
  name: string
  description: string
  /** The output layer counts as one more. */
  layers: number
  weights: number
  kv: number
  /** What steps are computed in. */
  compute: number
}

/** A device, or a backend, that is not used, and why. */
export interface NotTaken {
  name: string
  reason: string
}

/** What a device would hold, and whether it has room for it. */
export interface PlannedShare extends DeviceShare {
  memoryTotal: number
  memoryFree: number
  fits: boolean
}

/** What a load would come to: `Phi2.plan`. */
export interface MemoryPlan {
  /** The file, or where it would come from. */
  path: string
  mode: Mode
  contextSize: number
  batchSize: number
  microBatchSize: number
  maxSequences: number
  kvType: KvType
  flashAttention: boolean | 'auto'
  /** How many there are; the output layer counts as one. */
  layers: number
  /** How many of them would lie on GPUs. */
  gpuLayers: number
  /** Whether there is room for everything, where it would lie. */
  fits: boolean
  /** The GPUs, then the CPU with what is in the machine's memory: the weights there are mapped from the file. */
  devices: PlannedShare[]
  notTaken: NotTaken[]
  /** What would be told after the load, too. */
  warnings: string[]
}

/** `phi2.info`: what is loaded and where it runs. */
export interface ModelInfo {
  /** Path of the GGUF file. */
  path: string
  /** `general.name` of the file. */
  name: string
  /** True for the embedded phi-2-tiny. */
  embedded: boolean
  /** Path of the draft model, if one was loaded. */
  draft?: string
  /** File type, such as `Q4_K - Medium`. */
  fileType: string
  parameters: number
  /** Bytes of all tensors. */
  size: number
  vocabularySize: number
  /** Ids that can be sampled; the rest are padding rows. */
  usedVocabularySize: number
  trainedContextSize: number
  embeddingSize: number
  layers: number
  heads: number
  headSize: number
  contextSize: number
  /** Positions that one sequence may hold. */
  sequenceSize: number
  batchSize: number
  microBatchSize: number
  maxSequences: number
  threads: number
  mode: Mode
  /** Layers on GPUs; the output layer counts as one. */
  gpuLayers: number
  kvType: KvType
  flashAttention: boolean | 'auto'
  /** Names of the devices that hold layers. */
  device: string
  /** What lies where: the GPUs in use, then the CPU. */
  devices: DeviceShare[]
  /** Devices and backends that are not used, and why. */
  notTaken: NotTaken[]
  /** The options that come from a profile of `phi2 tune`. Absent where there is none, or every option was given. */
  tuned?: {
    options: Partial<TunedOptions>
    /** When it was measured, ISO 8601. */
    date: string
    /** The file of the profiles. */
    path: string
  }
  /** What was odd about the file and was mended at load. */
  warnings: string[]
}
