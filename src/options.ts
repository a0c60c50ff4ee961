import { randomInt } from 'node:crypto'
import { optionError, Phi2Error } from './errors.js'
import type { NativeSampler } from './native.js'
import { withMode } from './placement/modes.js'
import { type PlacementWish, resolveWish } from './placement/wish.js'
import { combineRules, parseStop, parseStopProfile } from './stops.js'
import type {
  DryOptions,
  GenerateOptions,
  LoadOptions,
  MirostatOptions,
  RestoreStateOptions,
  SaveStateOptions,
  Speculate,
  StopProfile,
  StopProfileName,
  StopRule,
  Trim,
} from './types.js'

/**
 * One entry for each option: types, ranges, defaults, texts of the CLI and the checks at the edge come from here.
 * `satisfies` below keeps it in step with the interfaces of `types.ts`.
 */
export interface OptionSpec {
  type: 'integer' | 'number' | 'numbers' | 'boolean' | 'string' | 'strings' | 'object' | 'function' | 'signal' | 'other'
  min?: number
  max?: number
  /** `min` itself is excluded. */
  above?: boolean
  choices?: readonly (string | boolean)[]
  /** An object in the place of a choice is checked where it is used. */
  orObject?: boolean
  default?: unknown
  doc: string
  /** What to say to those who want what is not among the choices. */
  because?: string
  /** Whether the command line offers it under its kebab-case name. */
  cli: boolean
}

// The engine takes 0xFFFFFFFF as "random"; our own random seeds are drawn here, so that they can be reported.
const maxSeed = 0xfffffffe
const maxPriority = 100
const maxTokensLimit = 1 << 20

export const generateSchema = {
  maxTokens: { type: 'integer', min: 1, max: maxTokensLimit, default: 512, doc: 'Tokens generated at most', cli: true },
  temperature: { type: 'number', min: 0, max: 100, doc: 'Randomness; 0 is greedy', cli: true },
  topK: {
    type: 'integer',
    min: 0,
    max: maxTokensLimit,
    default: 40,
    doc: 'Keep the k likeliest tokens; 0 is off',
    cli: true,
  },
  topP: {
    type: 'number',
    min: 0,
    max: 1,
    above: true,
    default: 0.95,
    doc: 'Keep this probability mass; 1 is off',
    cli: true,
  },
  minP: {
    type: 'number',
    min: 0,
    max: 1,
    default: 0.05,
    doc: 'Drop tokens below this share of the likeliest; 0 is off',
    cli: true,
  },
  typicalP: {
    type: 'number',
    min: 0,
    max: 1,
    above: true,
    default: 1,
    doc: 'Locally typical sampling; 1 is off',
    cli: true,
  },
  seed: { type: 'integer', min: 0, max: maxSeed, doc: 'Same seed, same text', cli: true },
  repeatPenalty: {
    type: 'number',
    min: 0.01,
    max: 100,
    default: 1,
    doc: 'Divides logits of recent tokens; 1 is off',
    cli: true,
  },
  frequencyPenalty: {
    type: 'number',
    min: -100,
    max: 100,
    default: 0,
    doc: 'Subtracted per occurrence; 0 is off',
    cli: true,
  },
  presencePenalty: {
    type: 'number',
    min: -100,
    max: 100,
    default: 0,
    doc: 'Subtracted per distinct token; 0 is off',
    cli: true,
  },
  penaltyLastN: {
    type: 'integer',
    min: -1,
    max: maxTokensLimit,
    default: 64,
    doc: 'Tokens that penalties look back at; -1 is all',
    cli: true,
  },
  dry: { type: 'object', doc: 'Don’t Repeat Yourself penalty', cli: true },
  mirostat: { type: 'object', doc: 'Mirostat version 2', cli: true },
  logitBias: { type: 'object', doc: 'Added to the logits of token ids', cli: true },
  stop: { type: 'strings', doc: 'Text that ends the answer (repeatable)', cli: true },
  profile: {
    type: 'other',
    choices: ['qa', 'chat', 'code', 'none'],
    orObject: true,
    doc: 'Stop profile; none lets the model run on',
    cli: true,
  },
  logprobs: { type: 'boolean', default: false, doc: 'Log-probability of each token', cli: true },
  topLogprobs: {
    type: 'integer',
    min: 0,
    max: 100,
    default: 0,
    doc: 'Likeliest alternatives of each token',
    cli: true,
  },
  speculate: {
    type: 'other',
    choices: ['none', 'lookup', 'draft'],
    doc: 'Guess tokens ahead: those that stood before, or a draft model’s',
    cli: true,
  },
  draftLength: {
    type: 'integer',
    min: 1,
    max: 63,
    doc: 'Tokens guessed per step (default: as many as pay)',
    cli: true,
  },
  n: {
    type: 'integer',
    min: 1,
    max: 64,
    default: 1,
    doc: 'Answers to the one prompt, each with its own seed',
    cli: true,
  },
  priority: {
    type: 'integer',
    min: -maxPriority,
    max: maxPriority,
    default: 0,
    doc: 'Which of several answers comes first; higher is earlier',
    cli: false,
  },
  signal: { type: 'signal', doc: 'Aborts the answer', cli: false },
  highWaterMark: {
    type: 'integer',
    min: 1,
    max: maxTokensLimit,
    default: 32,
    doc: 'Chunks a consumer may lag behind',
    cli: false,
  },
} as const satisfies Record<keyof GenerateOptions, OptionSpec>

export const loadSchema = {
  model: {
    type: 'string',
    doc: 'Name (q4_k_m …, tiny), GGUF file, hf:org/name/file, modelscope:… or URL',
    cli: true,
  },
  mode: {
    type: 'other',
    choices: ['auto', 'fp16-flash-cuda', 'fp16-cuda', 'fp32-cuda', 'fp32-cpu'],
    default: 'auto',
    doc: 'Execution mode of the model card, or what is best here',
    cli: true,
  },
  contextSize: {
    type: 'integer',
    min: 32,
    max: 1 << 20,
    default: 2048,
    doc: 'KV cells shared by all sequences',
    cli: true,
  },
  batchSize: {
    type: 'integer',
    min: 32,
    max: 2048,
    default: 512,
    doc: 'Tokens decoded in one step at most',
    cli: true,
  },
  microBatchSize: {
    type: 'integer',
    min: 32,
    max: 2048,
    doc: 'Tokens computed at once (default: the batch size)',
    cli: true,
  },
  threads: { type: 'integer', min: 1, max: 512, doc: 'Compute threads', cli: true },
  gpuLayers: {
    type: 'integer',
    min: -1,
    max: 1 << 16,
    doc: 'Layers on the GPU; -1 is all (default: as many as fit)',
    cli: true,
  },
  device: {
    type: 'strings',
    doc: 'cuda0, vulkan1 … (or several), cuda, vulkan, metal, gpu or cpu (default: the best)',
    cli: true,
  },
  mainGpu: { type: 'integer', min: 0, max: 63, doc: 'Only this one of the GPUs, counted from 0', cli: true },
  tensorSplit: { type: 'numbers', doc: 'Each GPU’s share of the layers, such as 3,1', cli: true },
  flashAttention: { type: 'other', choices: ['auto', true, false], default: 'auto', doc: 'Flash attention', cli: true },
  kvType: {
    type: 'other',
    choices: ['f16', 'bf16', 'f32'],
    default: 'f16',
    doc: 'Type of the KV cache',
    because: "Quantized KV caches work in blocks of 32, and Phi-2's head size of 80 is not a multiple of it.",
    cli: true,
  },
  maxSequences: { type: 'integer', min: 1, max: 64, default: 8, doc: 'Answers decoded at the same time', cli: true },
  maxQueue: {
    type: 'integer',
    min: 0,
    max: 1 << 20,
    default: 1024,
    doc: 'Answers that may wait for a place',
    cli: false,
  },
  tuned: { type: 'boolean', default: true, doc: 'Use what phi2 tune found fastest here', cli: true },
  draft: { type: 'string', doc: 'A smaller model that guesses ahead, named like the model', cli: true },
  signal: { type: 'signal', doc: 'Aborts the load', cli: false },
  onProgress: { type: 'function', doc: 'Progress of the load', cli: false },
} as const satisfies Record<keyof LoadOptions, OptionSpec>

export const saveStateSchema = {
  state: { type: 'string', doc: 'File for the KV cache', cli: false },
  signal: { type: 'signal', doc: 'Aborts saving', cli: false },
  onProgress: { type: 'function', doc: 'Progress of saving', cli: false },
} as const satisfies Record<keyof SaveStateOptions, OptionSpec>

export const restoreStateSchema = {
  signal: { type: 'signal', doc: 'Aborts restoring', cli: false },
  onProgress: { type: 'function', doc: 'Progress of restoring', cli: false },
} as const satisfies Record<keyof RestoreStateOptions, OptionSpec>

const drySchema = {
  multiplier: { type: 'number', min: 0, max: 100, default: 0.8, doc: 'Strength; 0 is off', cli: false },
  base: { type: 'number', min: 1, max: 100, default: 1.75, doc: 'Growth per repeated token', cli: false },
  allowedLength: { type: 'integer', min: 0, max: 4096, default: 2, doc: 'Repeats of this length are free', cli: false },
  lastN: { type: 'integer', min: -1, max: maxTokensLimit, default: -1, doc: 'Tokens looked back at', cli: false },
  breakers: { type: 'strings', default: ['\n', ':', '"', '*'], doc: 'Texts that begin anew', cli: false },
} as const satisfies Record<keyof DryOptions, OptionSpec>

const mirostatSchema = {
  tau: { type: 'number', min: 0, max: 100, default: 5, doc: 'Target surprise', cli: false },
  eta: { type: 'number', min: 0, max: 1, above: true, default: 0.1, doc: 'Learning rate', cli: false },
} as const satisfies Record<keyof MirostatOptions, OptionSpec>

/** Options of one answer, checked and complete, in the engine's words. */
export interface ResolvedGenerate {
  n_predict: number
  sampler: NativeSampler
  rules: readonly StopRule[]
  trim: Trim
  n_probs: number
  /** Undefined: as the model was loaded. */
  speculate: Speculate | undefined
  /** 0: as long as is worth its time */
  n_draft: number
  /** One for each of the `n` answers. */
  seeds: readonly number[]
  priority: number
  /** The caller gave the seed and wants its text again. */
  reproducible: boolean
  signal: AbortSignal | undefined
  highWaterMark: number
}

/**
 * Checks the options of one answer and fills in the defaults.
 * @throws TypeError or RangeError with the code `PHI2_INVALID_OPTION`.
 */
export function resolveGenerate(
  options: GenerateOptions | undefined,
  defaults: { temperature: number; profile: StopProfile; profileName: StopProfileName },
): ResolvedGenerate {
  const given = checkOptions<GenerateOptions>(options, generateSchema)
  const value = <K extends keyof GenerateOptions & keyof typeof generateSchema>(name: K) =>
    optionValue(given, generateSchema, name)

  const mirostat =
    given.mirostat === undefined
      ? undefined
      : checkOptions<MirostatOptions>(given.mirostat, mirostatSchema, 'mirostat.')
  // Mirostat draws; where greedy is the default it needs a temperature of its own.
  const temperature = given.temperature ?? (mirostat ? Math.max(defaults.temperature, 0.8) : defaults.temperature)
  if (mirostat && temperature === 0) {
    throw optionError(
      'range',
      'Expected a temperature above 0 together with mirostat but received 0: mirostat has no effect on greedy decoding',
    )
  }
  const dry = given.dry === undefined ? undefined : checkOptions<DryOptions>(given.dry, drySchema, 'dry.')
  const bias = resolveLogitBias(given.logitBias)
  const seed = given.seed ?? randomInt(maxSeed)
  // The verb's own profile by name is the one with this chat's speakers, or this function's indentation.
  const own = given.profile === undefined || given.profile === defaults.profileName
  const profile = own ? defaults.profile : parseStopProfile(given.profile)
  const topLogprobs = value('topLogprobs') as number

  return {
    n_predict: value('maxTokens') as number,
    sampler: {
      temp: temperature,
      top_k: value('topK') as number,
      top_p: value('topP') as number,
      min_p: value('minP') as number,
      typical_p: value('typicalP') as number,
      penalty_repeat: value('repeatPenalty') as number,
      penalty_freq: value('frequencyPenalty') as number,
      penalty_present: value('presencePenalty') as number,
      penalty_last_n: value('penaltyLastN') as number,
      dry_multiplier: dry ? (optionValue(dry, drySchema, 'multiplier') as number) : 0,
      dry_base: optionValue(dry ?? {}, drySchema, 'base') as number,
      dry_allowed_length: optionValue(dry ?? {}, drySchema, 'allowedLength') as number,
      dry_last_n: optionValue(dry ?? {}, drySchema, 'lastN') as number,
      dry_breakers: parseBreakers(optionValue(dry ?? {}, drySchema, 'breakers')),
      mirostat: mirostat !== undefined,
      mirostat_tau: optionValue(mirostat ?? {}, mirostatSchema, 'tau') as number,
      mirostat_eta: optionValue(mirostat ?? {}, mirostatSchema, 'eta') as number,
      ...bias,
    },
    rules: combineRules(profile, parseStop(given.stop)),
    trim: profile.trim,
    n_probs: value('logprobs') || topLogprobs > 0 ? topLogprobs : -1,
    speculate: given.speculate,
    n_draft: given.draftLength ?? 0,
    seeds: Array.from({ length: value('n') as number }, (_, i) => (seed + i) % (maxSeed + 1)),
    priority: value('priority') as number,
    reproducible: given.seed !== undefined && temperature > 0,
    signal: given.signal,
    highWaterMark: value('highWaterMark') as number,
  }
}

/** Options of `Phi2.load`, checked and complete, except for the model's path. */
export interface ResolvedLoad extends PlacementWish {
  model: string | undefined
  contextSize: number
  batchSize: number
  microBatchSize: number
  /** Undefined: as many as suit the model. */
  threads: number | undefined
  flashAttention: boolean | 'auto'
  kvType: 'f16' | 'bf16' | 'f32'
  maxSequences: number
  maxQueue: number
  tuned: boolean
  draft: string | undefined
  signal: AbortSignal | undefined
  onProgress: ((fraction: number) => void) | undefined
}

/** @throws TypeError or RangeError with the code `PHI2_INVALID_OPTION`; `PHI2_UNSUPPORTED_KV_TYPE` for a quantized KV cache. */
export function resolveLoad(options: LoadOptions | undefined): ResolvedLoad {
  refuseQuantizedKv(options?.kvType)
  const given = withMode(checkOptions<LoadOptions>(options, loadSchema))
  const value = (name: keyof LoadOptions) => optionValue(given, loadSchema, name)
  return {
    ...resolveWish(given),
    model: given.model,
    contextSize: value('contextSize') as number,
    ...resolveBatches(given),
    threads: given.threads,
    flashAttention: value('flashAttention') as boolean | 'auto',
    kvType: value('kvType') as ResolvedLoad['kvType'],
    maxSequences: value('maxSequences') as number,
    maxQueue: value('maxQueue') as number,
    tuned: value('tuned') as boolean,
    draft: given.draft,
    signal: given.signal,
    onProgress: given.onProgress,
  }
}

// A step is at least as large as the parts that it is cut into.
function resolveBatches({ batchSize, microBatchSize }: LoadOptions): { batchSize: number; microBatchSize: number } {
  const batch = batchSize ?? Math.max(loadSchema.batchSize.default, microBatchSize ?? 0)
  const microBatch = microBatchSize ?? batch
  if (microBatch <= batch) return { batchSize: batch, microBatchSize: microBatch }
  throw optionError(
    'range',
    `Expected a microBatchSize of at most ${batch}, the batchSize, but received ${microBatch} of type number`,
  )
}

// People copy these from other models' settings, so they get the reason and not only a list.
function refuseQuantizedKv(kvType: unknown): void {
  if (typeof kvType !== 'string' || !/^(i?q\d|mxfp4|nvfp4)/i.test(kvType)) return
  throw new Phi2Error(
    'PHI2_UNSUPPORTED_KV_TYPE',
    `Expected f16, bf16 or f32 for kvType but received '${kvType}'. ${loadSchema.kvType.because}`,
  )
}

// Each is compared with the whole vocabulary.
const maxBreakers = 32
const maxBreakerLength = 64

function parseBreakers(breakers: unknown): string[] {
  const list: unknown[] = Array.isArray(breakers) ? breakers : [breakers]
  const sound = (text: unknown) => typeof text === 'string' && text !== '' && text.length <= maxBreakerLength
  if (list.length > maxBreakers || !list.every(sound)) {
    throw optionError(
      'range',
      `Expected at most ${maxBreakers} strings of 1 to ${maxBreakerLength} characters for dry.breakers but received ${list.length <= maxBreakers ? show(list.find((text) => !sound(text))) : `${list.length}`}`,
    )
  }
  return list as string[]
}

// Beyond this the engine's samplers, which sort logits by their value, overflow; and 1000 decides any choice already.
const maxBias = 1000

function resolveLogitBias(bias: GenerateOptions['logitBias']): { bias_tokens: Int32Array; bias_values: Float32Array } {
  const prototype = bias === undefined ? null : Object.getPrototypeOf(bias)
  if (prototype !== null && prototype !== Object.prototype) {
    throw optionError('type', 'Expected a plain object { [token]: number } for logitBias')
  }
  const entries = Object.entries(bias ?? {})
  for (const [token, value] of entries) {
    if (!/^\d+$/.test(token) || Number(token) > 0x7fffffff) {
      throw optionError('type', `Expected token ids as keys of logitBias but received ${show(token)}`)
    }
    if (typeof value !== 'number' || !(Math.abs(value) <= maxBias || value === Number.NEGATIVE_INFINITY)) {
      const kind = typeof value === 'number' ? 'range' : 'type'
      throw optionError(
        kind,
        `Expected a number from -${maxBias} to ${maxBias}, or -Infinity, for logitBias[${token}] but received ${show(value)}`,
      )
    }
  }
  return {
    bias_tokens: Int32Array.from(entries, ([token]) => Number(token)),
    bias_values: Float32Array.from(entries, ([, value]) => value),
  }
}

type Schema = Readonly<Record<string, OptionSpec>>

function optionValue(given: object, schema: Schema, name: string): unknown {
  return (given as Record<string, unknown>)[name] ?? schema[name]?.default
}

/**
 * Refuses unknown names and wrong types or ranges. `undefined` counts as not given; `null` does not.
 * `prefix` names the object in messages (`dry.`).
 */
export function checkOptions<T extends object>(options: T | undefined, schema: Schema, prefix = ''): T {
  if (options === undefined) return {} as T
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw optionError(
      'type',
      `Expected an object for ${prefix === '' ? 'options' : prefix.slice(0, -1)} but received ${show(options)}`,
    )
  }
  for (const [name, value] of Object.entries(options)) {
    const spec = Object.hasOwn(schema, name) ? schema[name] : undefined
    if (!spec)
      throw optionError('type', `Unknown option ${prefix}${name}. Known are: ${Object.keys(schema).join(', ')}`)
    if (value !== undefined) checkValue(`${prefix}${name}`, value, spec)
  }
  return options
}

function checkValue(name: string, value: unknown, spec: OptionSpec): void {
  const fits =
    typeChecks[spec.type](value) &&
    (spec.choices === undefined ||
      (spec.orObject && typeof value === 'object') ||
      spec.choices.includes(value as string))
  const refuse = (kind: 'type' | 'range') =>
    optionError(kind, `Expected ${describe(spec)} for ${name} but received ${show(value)}`)
  if (!fits) throw refuse('type')
  if (typeof value !== 'number') return
  const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = spec
  if (value < min || value > max || (spec.above === true && value === min)) throw refuse('range')
}

const typeChecks: Record<OptionSpec['type'], (value: unknown) => boolean> = {
  integer: Number.isInteger,
  number: Number.isFinite,
  boolean: (value) => typeof value === 'boolean',
  string: (value) => typeof value === 'string' && value !== '',
  numbers: (value) => Array.isArray(value) && value.every(Number.isFinite),
  strings: (value) => typeof value === 'string' || Array.isArray(value),
  object: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  function: (value) => typeof value === 'function',
  signal: (value) => value instanceof AbortSignal,
  other: () => true,
}

function describe(spec: OptionSpec): string {
  if (spec.choices) return `one of ${spec.choices.map((choice) => JSON.stringify(choice)).join(', ')}`
  const names = {
    numbers: 'an array of numbers',
    strings: 'a string or an array of strings',
    signal: 'an AbortSignal',
    string: 'a string that is not empty',
  }
  const name = (names as Record<string, string>)[spec.type] ?? `${/^[aeio]/.test(spec.type) ? 'an' : 'a'} ${spec.type}`
  if (spec.min === undefined) return name
  return `${name} ${spec.above ? 'above' : 'of at least'} ${spec.min} and at most ${spec.max}`
}

function show(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean' || value === null || value === undefined)
    return `${value} of type ${value === null ? 'null' : typeof value}`
  if (typeof value === 'string')
    return `${JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}…` : value)} of type string`
  return Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`
}
