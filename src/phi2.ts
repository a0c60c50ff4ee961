import { Chat } from './chat.js'
import { Dispatcher } from './dispatcher.js'
import { nativeError, optionError } from './errors.js'
import { Generation } from './generation.js'
import { type PreparedLoad, prepareLoad } from './loading.js'
import { ModelFile } from './model-file.js'
import { loadAddon, type NativeEngine } from './native.js'
import { guarded, settle } from './native-task.js'
import { resolveGenerate } from './options.js'
import { describeShares, holdersOf } from './placement/place.js'
import { requireRoom } from './placement/room.js'
import { codeIndent, codePrompt, qaPrompt } from './prompts.js'
import { runSelfCheck, type SelfCheck } from './self-check.js'
import { codeProfile, stopProfiles } from './stops.js'
import { tokenizePrompt, tokenizeText } from './tokenize.js'
import type {
  Answer,
  ChatOptions,
  CodeAnswer,
  CodeRequest,
  GenerateOptions,
  LoadOptions,
  MemoryPlan,
  ModelInfo,
  OneAnswer,
  SavedChat,
} from './types.js'

/**
 * A loaded Phi-2. Several answers run at once on one instance; each verb starts at once and returns a {@link Generation}.
 *
 * @example
 * await using phi2 = await Phi2.load({ model: './phi-2.Q4_K_M.gguf' })
 * const { text } = await phi2.ask('Write a detailed analogy between mathematics and a lighthouse.')
 */
export class Phi2 implements AsyncDisposable {
  /** What is loaded and where it runs. */
  readonly info: ModelInfo
  readonly #engine: NativeEngine
  readonly #dispatcher: Dispatcher
  readonly #modelFile: ModelFile
  #closing: Promise<void> | undefined

  private constructor(engine: NativeEngine, dispatcher: Dispatcher, info: ModelInfo, modelFile: ModelFile) {
    this.#engine = engine
    this.#dispatcher = dispatcher
    this.info = info
    this.#modelFile = modelFile
  }

  /**
   * Loads a model, off the main thread. A reference (`hf:…`, `modelscope:…`, a URL) that is not in the cache is downloaded
   * first.
   * @throws {Phi2Error} `PHI2_MODEL_NOT_FOUND`, `PHI2_UNKNOWN_MODEL`, `PHI2_INVALID_GGUF` (none, truncated or corrupt), `PHI2_NOT_PHI2`,
   * `PHI2_UNSUPPORTED_KV_TYPE`, `PHI2_MODE_UNAVAILABLE`, `PHI2_VOCABULARY_MISMATCH` (of the draft model), `PHI2_CONTEXT_FAILED` (memory), `PHI2_MODEL_LOAD_FAILED`, `PHI2_BINDING_NOT_FOUND`; wrong
   * options throw `PHI2_INVALID_OPTION`; an aborted load rejects with `signal.reason`. Of a download also
   * `PHI2_DOWNLOAD_FAILED`, `PHI2_ACCESS_DENIED`, `PHI2_CHECKSUM_MISMATCH` and `PHI2_NO_SPACE`.
   */
  static async load(options?: LoadOptions): Promise<Phi2> {
    const prepared = await prepareLoad(options)
    const { choice, draft, fitted, model, notTaken, resolved, threads, tuned, warnings } = prepared
    requireRoom(resolved, choice, fitted)
    const modelFile = await ModelFile.at(model.path)
    const dispatcher = new Dispatcher()
    const engine = await loadEngine(prepared, dispatcher)
    const { kvType, flashAttention, mode } = resolved
    const { path, embedded } = model
    const { shares, ...info } = engine.info
    const whole: ModelInfo = {
      ...info,
      path,
      embedded,
      ...(draft === undefined ? {} : { draft: draft.path }),
      headSize: info.embeddingSize / info.heads,
      // The engine makes no step larger than the context.
      microBatchSize: Math.min(resolved.microBatchSize, info.batchSize),
      mode,
      kvType,
      flashAttention,
      device: holdersOf(shares),
      devices: describeShares(shares),
      notTaken,
      warnings: [...info.warnings, ...warnings],
      threads,
      ...(tuned && { tuned }),
    }
    return new Phi2(engine, dispatcher, whole, modelFile)
  }

  /**
   * What a load with these options would take on each device, and whether there is room, without loading: the engine adds up
   * its own allocations. What `phi2 plan` shows. Of a model that is not in the cache only the header is downloaded.
   *
   * @example
   * const { devices, fits, gpuLayers, layers } = await Phi2.plan({ model: 'q4_k_m', contextSize: 8192 })
   *
   * @throws {Phi2Error} the codes of {@link Phi2.load}; too little memory is no error here, but told by `fits`
   */
  static async plan(options?: LoadOptions): Promise<MemoryPlan> {
    const { planLoad } = await import('./placement/plan.js')
    return planLoad(options)
  }

  /**
   * Answers a question in Phi-2's concise format, `Instruct: …\nOutput:`. Greedy unless a temperature is given.
   * @throws (by rejecting) {Phi2Error} `PHI2_CONTEXT_FULL`, `PHI2_CLOSED`, `PHI2_DECODE_FAILED`; `signal.reason` when aborted.
   */
  ask(question: string, options?: GenerateOptions): Generation<Answer> {
    return this.#generate(qaPrompt(text(question, 'question')), 'qa', options)
  }

  /**
   * Continues a text: raw text in, raw text out, no stop profile and no trimming unless asked for. `<|endoftext|>` in
   * the text is read as the token.
   */
  complete(prompt: string, options?: GenerateOptions): Generation<Answer> {
    return this.#generate(text(prompt, 'prompt'), 'none', options, true)
  }

  /**
   * Writes the body of a Python function from its signature and docstring. `text` is the body, `source` the whole
   * function. A string is used as the prompt just as it is: source that ends where the body begins.
   *
   * @example
   * const { source } = await phi2.code({ signature: 'def print_prime(n):', docstring: 'Print all primes between 1 and n' })
   */
  code(request: CodeRequest | string, options?: GenerateOptions): Generation<CodeAnswer> {
    const prompt = typeof request === 'string' ? text(request, 'request') : codePrompt(codeRequest(request))
    const indent = codeIndent(typeof request === 'string' ? openingOf(request) : request.signature)
    return this.#start(
      prompt,
      false,
      resolveGenerate(options, { temperature: 0, profile: codeProfile(indent), profileName: 'code' }),
      (answer) => ({
        ...answer,
        source: `${prompt.trimEnd()}\n${answer.text}`,
      }),
    )
  }

  /** Begins a conversation in Phi-2's chat format (`Alice: …\nBob: …`), or goes on with a saved one. */
  chat(options?: ChatOptions | SavedChat): Chat {
    const context = {
      engine: this.#engine,
      dispatcher: this.#dispatcher,
      info: this.info,
      modelFile: this.#modelFile,
    }
    const saved = typeof options === 'object' && options !== null && ('turns' in options || 'format' in options)
    return saved ? Chat.fromSaved(context, options) : new Chat(context, options)
  }

  /** Token ids of a text. No BOS is added: Phi-2 has none. `special` (default true) reads `<|endoftext|>` as the token. */
  async tokenize(source: string, options?: { special?: boolean }): Promise<number[]> {
    try {
      if (source === '') return []
      return Array.from(await tokenizeText(this.#engine, text(source, 'text'), options?.special ?? true))
    } catch (error) {
      throw nativeError(error)
    }
  }

  /** Text of token ids. @throws RangeError with the code `PHI2_INVALID_OPTION` for ids outside the vocabulary. */
  detokenize(tokens: readonly number[] | Int32Array): string {
    return this.#native(() => this.#engine.detokenize(tokenArray(tokens)))
  }

  async countTokens(source: string): Promise<number> {
    return (await this.tokenize(source)).length
  }

  /** Text of one token; bytes that are only part of a character show as U+FFFD. */
  tokenText(token: number): string {
    return this.#native(() => this.#engine.tokenText(token))
  }

  /**
   * Compares log-likelihoods that this device computes with stored ones (embedded model), or checks that they are finite
   * (other models). What `phi2 doctor` shows.
   */
  async selfCheck(): Promise<SelfCheck> {
    try {
      return await runSelfCheck(this.#engine, this.#dispatcher, this.info.embedded)
    } catch (error) {
      throw nativeError(error)
    }
  }

  /** What the engine is doing: for tests and for people who tune. */
  get stats(): ReturnType<NativeEngine['stats']> {
    return this.#engine.stats()
  }

  /**
   * Ends what runs (pending answers reject with `PHI2_CLOSED`), waits for the step in flight, and frees the memory.
   * Idempotent. Using the model afterwards throws `PHI2_CLOSED`.
   */
  close(): Promise<void> {
    this.#closing ??= this.#engine.close().then(() => this.#engine.free())
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** @internal The native parts, for the package's own tests. */
  get internals(): { engine: NativeEngine; dispatcher: Dispatcher } {
    return { engine: this.#engine, dispatcher: this.#dispatcher }
  }

  #generate(
    prompt: string,
    profileName: 'qa' | 'none',
    options: GenerateOptions | undefined,
    special = false,
  ): Generation<Answer> {
    const resolved = resolveGenerate(options, { temperature: 0, profile: stopProfiles[profileName], profileName })
    return this.#start(prompt, special, resolved, (answer) => answer)
  }

  #start<T extends Answer>(
    prompt: string,
    special: boolean,
    options: ReturnType<typeof resolveGenerate>,
    finish: (answer: OneAnswer) => T,
  ): Generation<T> {
    return new Generation({
      engine: this.#engine,
      dispatcher: this.#dispatcher,
      options,
      prompt: async () => ({
        tokens: await tokenizePrompt(this.#engine, prompt, special),
        atLineStart: prompt.endsWith('\n'),
      }),
      finish,
    })
  }

  #native<T>(body: () => T): T {
    try {
      return body()
    } catch (error) {
      throw nativeError(error)
    }
  }
}

async function loadEngine(
  { native, onProgress, resolved: { signal } }: PreparedLoad,
  dispatcher: Dispatcher,
): Promise<NativeEngine> {
  const load = loadAddon().loadModel({
    ...native,
    onProgress: onProgress && ((fraction) => guarded(() => onProgress(fraction))),
    onChunk: dispatcher.onChunk,
    onEnd: dispatcher.onEnd,
  })
  const engine = await settle(load, signal)
  if (!signal?.aborted) return engine
  await engine.close()
  await engine.free()
  throw signal.reason
}

function text(value: unknown, name: string): string {
  if (typeof value !== 'string')
    throw optionError('type', `Expected a string for ${name} but received a value of type ${typeof value}`)
  if (value === '') throw optionError('range', `Expected a ${name} that is not empty`)
  return value
}

function codeRequest(value: unknown): CodeRequest {
  if (typeof value !== 'object' || value === null) {
    throw optionError(
      'type',
      `Expected { signature, docstring } or a string but received a value of type ${value === null ? 'null' : typeof value}`,
    )
  }
  const unknown = Object.keys(value).find((key) => key !== 'signature' && key !== 'docstring')
  if (unknown !== undefined) throw optionError('type', `Unknown property ${unknown}. Expected signature and docstring`)
  const { docstring } = value as CodeRequest
  if (docstring !== undefined && typeof docstring !== 'string') {
    throw optionError('type', `Expected a string for docstring but received a value of type ${typeof docstring}`)
  }
  return value as CodeRequest
}

/** The statement that opens the block at the end of a source text: its last line that ends with a colon. */
function openingOf(source: string): string {
  const lines = source.split('\n')
  const last = lines.findLastIndex((line) => /^\s*(async\s+def|def|class|for|while|if|with|try)\b.*:/.test(line))
  return lines.slice(0, last < 0 ? 1 : last + 1).join('\n')
}

function tokenArray(tokens: readonly number[] | Int32Array): Int32Array {
  if (tokens instanceof Int32Array) return tokens
  if (!Array.isArray(tokens) || !tokens.every((token) => Number.isInteger(token) && Math.abs(token) < 2 ** 31)) {
    throw optionError('type', 'Expected an array of token ids')
  }
  return Int32Array.from(tokens)
}
