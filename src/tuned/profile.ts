import { checkOptions, loadSchema, type OptionSpec } from '../options.js'
import type { KvType, LoadOptions, TunedOptions } from '../types.js'

/** What the fastest options depend on: a profile serves where all of this is the same. */
export interface TunedKey {
  /** The processor's name. */
  cpu: string
  /** How many of its processors the process may use. */
  processors: number
  /** Version of llama.cpp. */
  llama: string
  /** File name of the library that serves as the CPU backend: there is one for each family of processors. */
  backend: string
  /** `CPU`, or the GPU and how many layers it was asked to take. */
  device: string
  /** `general.file_type` of the model. */
  fileType: number
  /** Of the file: with the type it says how many parameters there are. Files of one model differ by their keys. */
  bytes: number
  kvType: KvType
}

/** How much sooner the answer came than with the default options, each as a ratio: 1.2 is a fifth faster. */
export interface TunedGain {
  /** Of the prompt. */
  prefill: number
  /** Of the answer's tokens. */
  decode: number
  /** Of both together. */
  total: number
}

export interface TunedProfile {
  key: TunedKey
  options: TunedOptions
  gain: TunedGain
  /** The prompt and the answer that were measured. */
  promptTokens: number
  predictTokens: number
  /** ISO 8601. */
  date: string
}

const FORMAT = 'phi2-tuned'
const VERSION = 1
const NAMES = ['threads', 'batchSize', 'microBatchSize', 'flashAttention'] as const satisfies (keyof TunedOptions)[]

/** The profiles in a file's text. What is damaged, or of another version, counts as not there: it was only measured. */
export function parseProfiles(text: string): TunedProfile[] {
  let stored: unknown
  try {
    stored = JSON.parse(text)
  } catch {
    return []
  }
  if (!isObject(stored) || stored.format !== FORMAT || stored.version !== VERSION) return []
  return Array.isArray(stored.profiles) ? stored.profiles.filter(isProfile) : []
}

export function formatProfiles(profiles: readonly TunedProfile[]): string {
  return `${JSON.stringify({ format: FORMAT, version: VERSION, profiles }, null, 2)}\n`
}

/** The profiles with a new one in the place of the one that it supersedes. */
export function putProfile(profiles: readonly TunedProfile[], profile: TunedProfile): TunedProfile[] {
  return [...profiles.filter(({ key }) => !serves(key, profile.key)), profile]
}

/** Files of one type and model differ by their keys; the nearest other size of a model is far away. */
const SAME_SIZE = 0.02

export function serves(key: TunedKey, wanted: TunedKey): boolean {
  return isNear(key, wanted) && key.fileType === wanted.fileType
}

/** Whether only the type of the file, which is to be read from it, may be in the way. */
export function isNear(key: Omit<TunedKey, 'fileType'>, wanted: Omit<TunedKey, 'fileType'>): boolean {
  const exact = ['cpu', 'processors', 'llama', 'backend', 'device', 'kvType'] as const
  return (
    exact.every((name) => key[name] === wanted[name]) && Math.abs(key.bytes - wanted.bytes) <= SAME_SIZE * wanted.bytes
  )
}

/**
 * The caller's options completed by those of a profile, and which these were. A batch that the caller gave bounds the
 * micro-batch of the profile, and the other way round.
 */
export function withTuned(
  given: LoadOptions,
  tuned: TunedOptions,
): { options: LoadOptions; taken: Partial<TunedOptions> } {
  const taken: Partial<TunedOptions> = Object.fromEntries(
    NAMES.filter((name) => given[name] === undefined).map((name) => [name, tuned[name]]),
  )
  if (given.batchSize !== undefined && taken.microBatchSize !== undefined) {
    taken.microBatchSize = Math.min(taken.microBatchSize, given.batchSize)
  }
  if (given.microBatchSize !== undefined && taken.batchSize !== undefined) {
    taken.batchSize = Math.max(taken.batchSize, given.microBatchSize)
  }
  return { options: { ...given, ...taken }, taken }
}

function isProfile(value: unknown): value is TunedProfile {
  if (!isObject(value)) return false
  const { key, options, gain, promptTokens, predictTokens, date } = value
  return (
    isKey(key) &&
    isOptions(options) &&
    options.threads <= key.processors &&
    isObject(gain) &&
    [gain.prefill, gain.decode, gain.total, promptTokens, predictTokens].every(isPositive) &&
    typeof date === 'string' &&
    Number.isFinite(Date.parse(date))
  )
}

function isKey(key: unknown): key is TunedKey {
  if (!isObject(key)) return false
  return (
    [key.cpu, key.llama, key.backend, key.device].every((text) => typeof text === 'string') &&
    [key.processors, key.bytes].every(isPositive) &&
    Number.isInteger(key.processors) &&
    Number.isInteger(key.fileType) &&
    loadSchema.kvType.choices.includes(key.kvType as KvType)
  )
}

const optionsSchema: Record<keyof TunedOptions, OptionSpec> = loadSchema

function isOptions(options: unknown): options is TunedOptions {
  if (!isObject(options) || NAMES.some((name) => options[name] === undefined)) return false
  try {
    const schema = Object.fromEntries(NAMES.map((name) => [name, optionsSchema[name]]))
    const { batchSize, microBatchSize } = checkOptions<TunedOptions>(options as unknown as TunedOptions, schema)
    return microBatchSize <= batchSize
  } catch {
    return false
  }
}

function isPositive(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
