import type { LoadedBackend } from './gpu/load.js'
import { openAddon } from './load-addon.js'
import type { NativeTask } from './native-task.js'
import type { NativePlacement } from './placement/fit.js'
import type { DeviceInfo, DeviceShare, ModelInfo, Speculate, StopRule } from './types.js'

/** The whole boundary to C++: what `phi2.node` exports. Option names are already llama.cpp's here (see `options.ts`). */
export interface NativeAddon {
  readonly versions: { readonly llama: string; readonly ggml: string; readonly napi: number }
  /** Process-wide start of the engine; loads the backends beside the addon once, whoever calls. */
  initBackend(folder: string): void
  /** A GPU backend, for the whole process; before `initBackend`, so that its devices come first. Never throws for a bad one. */
  loadBackend(path: string): LoadedBackend
  /** Opens a library that a backend needs. Empty, or the reason why not. */
  openLibrary(name: string): string
  /** `memory` as in `devices`. */
  backendInfo(memory?: boolean): NativeBackendInfo
  /**
   * What memory is free is asked anew at each call. Without `memory` it is 0 and there are no ids, and no GPU is woken: CUDA
   * takes some hundred MB of each that is asked. @default true
   */
  devices(memory?: boolean): DeviceInfo[]
  /** What a load with these options would take; nothing is allocated. Rejects with the codes of a load. */
  measureMemory(options: NativeEngineOptions): NativeTask<NativeMemoryNeed>
  loadModel(options: NativeLoadOptions): NativeTask<NativeEngine>
  /** Rejects with `PHI2_QUANTIZE_FAILED`, `PHI2_INVALID_GGUF`, or `PHI2_ABORTED` after the tensor at hand. */
  quantize(options: NativeQuantizeOptions): NativeTask<NativeQuantizeReport>
  /** The engine's name of an `enum llama_ftype`, which is not the one in our lists: `Q4_K - Medium`. */
  fileTypeName(ftype: number): string
  /** Reads a text and scores its tokens, with one model or two in step. Rejects with the codes of `gguf/perplexity.ts`. */
  perplexity(options: NativePerplexityOptions): NativeTask<NativePerplexity>
  /** Reads a text and sums up what the model's matrices are multiplied with. */
  importance(options: NativeImportanceOptions): NativeTask<NativeImportance>
  /** To be called when the process is about to end: stops every thread, without a further event. */
  stopForExit(): void
  readonly StopMatcher: new (rules: readonly StopRule[], atLineStart: boolean) => NativeStopMatcher
  readonly Utf8Assembler: new () => NativeUtf8Assembler
}

export interface NativeBackendInfo {
  devices: DeviceInfo[]
  backends: { name: string; path: string; features: Record<string, string> }[]
  /** Which shared library serves as the CPU backend. */
  cpuBackendPath: string
}

export interface NativeEngineOptions extends NativePlacement {
  path_model: string
  n_ctx: number
  n_batch: number
  /** more than n_batch is n_batch */
  n_ubatch: number
  n_seq_max: number
  /** Requests that may wait for a place, where there are any. */
  n_queue_max?: number
  n_threads: number
  flash_attn: -1 | 0 | 1
  type_kv: 'f16' | 'bf16' | 'f32'
  /** The draft model, and how many threads suit it. */
  path_draft?: string | undefined
  n_threads_draft?: number
}

export interface NativeLoadOptions extends NativeEngineOptions {
  onProgress?: ((fraction: number) => void) | undefined
  /** Must not throw. `topTokens` and `topLogprobs` have `n_probs` values for each token. */
  onChunk: (
    id: number,
    text: string,
    tokens: number[],
    logprobs?: Float32Array,
    topTokens?: Int32Array,
    topLogprobs?: Float32Array,
  ) => void
  /** The last of a request. Must not throw. */
  onEnd: (id: number, end: NativeEndEvent) => void
}

/** The GPUs in their order, then the CPU. */
export type NativeShare = Omit<DeviceShare, 'description'>

export interface NativeMemoryNeed {
  /** How many the model has; the output layer counts as one. */
  layers: number
  devices: NativeShare[]
}

/** What the engine itself knows of {@link ModelInfo}. */
export interface NativeModelInfo
  extends Omit<
    ModelInfo,
    | 'path'
    | 'embedded'
    | 'draft'
    | 'headSize'
    | 'microBatchSize'
    | 'mode'
    | 'kvType'
    | 'flashAttention'
    | 'threads'
    | 'device'
    | 'devices'
    | 'notTaken'
    | 'tuned'
  > {
  shares: NativeShare[]
}

/** A model with its context and engine thread. */
export interface NativeEngine {
  /** Built anew at each access. */
  readonly info: NativeModelInfo
  /** `special`: read `<|endoftext|>` in the text as the token. On the JS thread: for short texts. */
  tokenize(text: string, special: boolean): Int32Array
  tokenizeAsync(text: string, special: boolean): Promise<Int32Array>
  /** Invalid ids throw a RangeError. */
  detokenize(tokens: Int32Array): string
  /** Text of one token; bytes that are only part of a character show as U+FFFD. Invalid ids throw a RangeError. */
  tokenText(token: number): string
  /** Starts a request of one answer for each seed. Their events carry the id that this returns, and those after it. */
  submit(request: NativeRequest): number
  abort(id: number): void
  /** Back-pressure: a paused sequence is left out of the batches. */
  pause(id: number): void
  resume(id: number): void
  stats(): NativeStats
  /** Bytes that one token takes up in the KV cache. */
  readonly cellBytes: number
  /** How many of these tokens are cached. */
  cachedPrefix(tokens: Int32Array): Promise<number>
  /**
   * Copies the cells of some of the tokens, from position `first` on, into `bytes`: layer by layer the keys, token by
   * token, then the values likewise. False when the tokens are not cached. `bytes` belongs to the addon until then.
   */
  readCells(tokens: Int32Array, first: number, bytes: Uint8Array): Promise<boolean>
  /**
   * Puts such cells into the cache. False when the tokens before `first` are not cached. Waits in the queue like an
   * answer; to cancel rejects with `PHI2_ABORTED`. Numbers that no model computes reject with `PHI2_INVALID_STATE`.
   */
  writeCells(tokens: Int32Array, first: number, bytes: Uint8Array): NativeTask<boolean>
  /** A longer prompt has more tokens than a sequence can hold, whatever it says. */
  readonly maxPromptBytes: number
  /** Aborts what runs, joins the thread, frees the context, delivers the last events. Idempotent. */
  close(): Promise<void>
  /** After close(): frees the weights and the vocabulary. */
  free(): Promise<void>
}

export interface NativeStats {
  active: number
  queued: number
  cachedSequences: number
  cachedTokens: number
  steps: number
  decodedTokens: number
  preemptions: number
}

export interface NativeSampler {
  temp: number
  top_k: number
  top_p: number
  min_p: number
  typical_p: number
  penalty_repeat: number
  penalty_freq: number
  penalty_present: number
  penalty_last_n: number
  dry_multiplier: number
  dry_base: number
  dry_allowed_length: number
  dry_last_n: number
  dry_breakers: string[]
  mirostat_tau: number
  mirostat_eta: number
  mirostat: boolean
  bias_tokens: Int32Array
  bias_values: Float32Array
}

export interface NativeRequest {
  tokens: Int32Array
  n_predict: number
  sampler: NativeSampler
  /** one for each answer */
  seeds: readonly number[]
  /** higher comes first */
  priority: number
  rules: readonly StopRule[]
  at_line_start: boolean
  /** -1: no logprobs; otherwise alternatives per token */
  n_probs: number
  /** log p(token i | tokens before) for every prompt token but the first */
  prompt_logprobs: boolean
  /** the text must depend on prompt and seed only */
  reproducible: boolean
  /** undefined: 'draft' if there is a draft model, else 'none' */
  speculate: Speculate | undefined
  /** 0: as long as is worth its time */
  n_draft: number
  /** prompt positions whose raw logits come back, ascending */
  logit_positions: Int32Array
}

export interface NativeEndEvent {
  reason: 'stop' | 'length' | 'abort' | 'error'
  /** Index of the rule that fired, -1 for none, -2 for an end-of-generation token. */
  rule: number
  error?: { code: string; message: string }
  promptTokens: number
  cachedTokens: number
  acceptedPredictionTokens: number
  rejectedPredictionTokens: number
  completionTokens: number
  queueMs: number
  promptMs: number
  decodeMs: number
  promptLogprobs?: Float32Array
  /** logit_positions.length × vocabulary size */
  logits?: Float32Array
}

export interface NativeQuantizeOptions {
  path_in: string
  path_out: string
  /** `enum llama_ftype` */
  ftype: number
  n_threads: number
  allow_requantize: boolean
  quantize_output_tensor: boolean
  /** every tensor in the base type */
  pure: boolean
  /** only report what would become of the tensors */
  dry_run: boolean
  /** `enum ggml_type` */
  output_tensor_type?: number | undefined
  token_embedding_type?: number | undefined
  /** of `path_in`; `limit` is the largest weight that the new type can take */
  tensors: { name: string; type: number; offset: number; bytes: number; limit: number }[]
  imatrix: { name: string; values: Float32Array }[]
  /** of the new file; texts of at most 127 bytes */
  keys: { name: string; value: string | number }[]
  onProgress?: ((fraction: number) => void) | undefined
}

export interface NativeQuantizeReport {
  /** Of a dry run: the tensors that change, with ggml's names of their types. */
  changes: { name: string; type: string }[]
  /** Tensors whose rows do not fit `wanted`. */
  fallbacks: { name: string; type: string; wanted: string }[]
}

/** A text read in chunks of `n_ctx` tokens, `n_seq_max` of them decoded together at most. */
export interface NativeReadingOptions
  extends Omit<
    NativeLoadOptions,
    'path_draft' | 'n_threads_draft' | 'onChunk' | 'onEnd' | 'onProgress' | 'n_queue_max'
  > {
  text: string
  /** At most; 0: all */
  n_chunks: number
  /** The perplexity so far is 0 before there is one. */
  onProgress?: ((fraction: number, perplexity: number) => void) | undefined
}

export interface NativePerplexityOptions extends NativeReadingOptions {
  /** The model to compare with. */
  path_base?: string | undefined
}

export interface NativeReading {
  chunks: number
  trainedContextSize: number
  warnings: string[]
}

/** One value for each scored token, chunk by chunk; the arrays after `nll` are empty without `path_base`. */
export interface NativePerplexity extends NativeReading {
  /** -log p of the token that came, in nats */
  nll: Float64Array
  nllBase: Float64Array
  /** Kullback-Leibler divergence from the reference to the model, in nats */
  kld: Float64Array
  /** p of the token that came, less the reference's */
  pDiff: Float64Array
  /** 1 where both hold the same token likeliest */
  sameTop: Uint8Array
}

export interface NativeImportanceOptions extends NativeReadingOptions {
  /** `output.weight` too */
  process_output: boolean
}

export interface NativeImportance extends NativeReading {
  perplexity: number
  /** By name: for each column the sum of the squared inputs, over `count` tokens. */
  tensors: { name: string; sums: Float32Array; count: number }[]
}

/** The engine's own stop matcher, alone: for tests and for text that was generated elsewhere. */
export interface NativeStopMatcher {
  push(bytes: Uint8Array): Uint8Array
  finish(): Uint8Array
  /** Index of the rule that fired, or -1. */
  readonly rule: number
}

export interface NativeUtf8Assembler {
  push(bytes: Uint8Array): string
  finish(): string
}

let loaded: NativeAddon | undefined

/**
 * Finds and loads `phi2.node`: `PHI2_BINDING` → the local build → what `phi2 build` made → the platform's package.
 * @throws {Phi2Error} `PHI2_BINDING_NOT_FOUND` naming the platform, what is missing or wrong, and the remedies.
 */
export function loadAddon(): NativeAddon {
  loaded ??= openAddon()
  return loaded
}

/** Whether this thread has it already. */
export function addonIsLoaded(): boolean {
  return loaded !== undefined
}
