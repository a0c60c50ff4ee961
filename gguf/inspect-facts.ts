import { fileTypeName } from './file-types.js'
import {
  type GgufElementType,
  type GgufHeader,
  type GgufMetadata,
  type GgufScalar,
  type GgufTensorInfo,
  type GgufValue,
  sumBytes,
} from './format.js'
import type {
  InspectedKey,
  InspectedTensor,
  InspectedValue,
  ModelFacts,
  SpecialToken,
  TokenizerFacts,
} from './inspect-types.js'
import type { ModelShape } from './memory.js'
import { TOKEN_TYPES } from './metadata.js'
import { mixtureOf } from './mixture-shares.js'

export function modelFacts({ metadata, tensors }: GgufHeader): ModelFacts {
  const mixture = mixtureOf(tensors)
  const parameters = mixture.reduce((sum, share) => sum + share.parameters, 0)
  const tensorBytes = mixture.reduce((sum, share) => sum + share.bytes, 0)
  const fileType = number(metadata, 'general.file_type')
  return {
    architecture: brief(text(metadata, 'general.architecture')),
    name: brief(text(metadata, 'general.name')),
    license: brief(text(metadata, 'general.license')),
    fileType: fileType === undefined ? undefined : (fileTypeName(fileType) ?? `unknown (${fileType})`),
    parameters,
    tensorBytes,
    bitsPerWeight: parameters > 0 ? (8 * tensorBytes) / parameters : undefined,
    mixture,
  }
}

/** What is read for each token: all matrices but the token embedding, of which one row is looked up. */
export function streamedBytes(tensors: readonly GgufTensorInfo[]): number {
  return sumBytes(tensors.filter(({ name, shape }) => shape.length > 1 && name !== 'token_embd.weight'))
}

/** Larger numbers than these make no model, and products of them would not be exact. */
const MAX_SIZE = 2 ** 24
const MAX_LAYERS = 4096

/** The sizes of the model by its keys, or undefined when one of them is missing or impossible. */
export function readShape({ metadata, tensors }: GgufHeader): ModelShape | undefined {
  const architecture = text(metadata, 'general.architecture')
  const size = (key: string, max = MAX_SIZE) => {
    const value = number(metadata, `${architecture}.${key}`)
    return value !== undefined && Number.isInteger(value) && value >= 1 && value <= max ? value : undefined
  }
  const embeddingSize = size('embedding_length')
  const heads = size('attention.head_count')
  const layers = size('block_count', MAX_LAYERS)
  const feedForwardSize = size('feed_forward_length')
  const contextSize = size('context_length')
  const vocabularySize = tensors.find(({ name }) => name === 'token_embd.weight')?.shape[1]
  if (!embeddingSize || !heads || !layers || !feedForwardSize || !contextSize || !vocabularySize) return undefined
  const headSize = size('attention.key_length') ?? Math.floor(embeddingSize / heads)
  const kvHeads = size('attention.head_count_kv') ?? heads
  return { layers, embeddingSize, feedForwardSize, heads, kvHeads, headSize, vocabularySize, contextSize }
}

/** Padding rows: today's converter marks them as unused, older ones gave them ordinary names of this form. */
const PADDING = /^\[PAD\d+\]$/

export function tokenizerFacts(metadata: GgufMetadata): TokenizerFacts {
  const tokens = strings(metadata, 'tokenizer.ggml.tokens')
  const types = metadata.get('tokenizer.ggml.token_type')
  const isUsed = (token: string, id: number) =>
    !PADDING.test(token) && !(types?.type === 'array' && types.value[id] === TOKEN_TYPES.unused)
  return {
    model: brief(text(metadata, 'tokenizer.ggml.model')),
    pre: brief(text(metadata, 'tokenizer.ggml.pre')),
    tokens: tokens.length,
    usedTokens: tokens.filter(isUsed).length,
    merges: strings(metadata, 'tokenizer.ggml.merges').length,
    special: specialTokens(metadata, tokens),
  }
}

function specialTokens(metadata: GgufMetadata, tokens: readonly string[]): SpecialToken[] {
  const special: SpecialToken[] = []
  for (const key of metadata.keys()) {
    const kind = /^tokenizer\.ggml\.(\w+)_token_id$/.exec(key)?.[1]
    const id = number(metadata, key)
    if (kind !== undefined && id !== undefined) special.push({ kind, id, text: brief(tokens[id]) })
  }
  return special
}

/** As many elements of an array, and characters of a text, as are worth a look. */
const FIRST_ELEMENTS = 8
const FIRST_CHARACTERS = 1000

export function inspectKeys(metadata: GgufMetadata, fullValues: boolean): InspectedKey[] {
  return [...metadata].map(([key, value]) => {
    const show = (type: GgufElementType, one: GgufScalar['value']) => {
      const shown = plain(type, one)
      return fullValues || typeof shown !== 'string' ? shown : brief(shown, FIRST_CHARACTERS)
    }
    if (value.type !== 'array') return { key, type: value.type, value: show(value.type, value.value) }
    const elements = fullValues ? value.value : value.value.slice(0, FIRST_ELEMENTS)
    return {
      key,
      type: value.type,
      of: value.of,
      length: value.value.length,
      value: elements.map((element) => show(value.of, element)),
    }
  })
}

/** A name, however long the file makes it. */
function brief<T extends string | undefined>(name: T, length = 200): T {
  return (name !== undefined && name.length > length ? `${name.slice(0, length - 1)}…` : name) as T
}

/** As JSON can hold it without loss. */
function plain(type: GgufElementType, value: GgufScalar['value']): InspectedValue {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  return type === 'float32' ? shortFloat32(value as number) : value
}

/** 0.00001, where a float32 comes back as 0.000009999999747378752. */
function shortFloat32(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === value) return short
  }
  return value
}

export function inspectTensors({ tensors, dataOffset }: GgufHeader): InspectedTensor[] {
  return tensors.map(({ name, type, shape, offset, byteLength }) => ({
    name,
    type,
    shape,
    offset: dataOffset + offset,
    bytes: byteLength,
  }))
}

export function text(metadata: GgufMetadata, key: string): string | undefined {
  const value = metadata.get(key)
  return value?.type === 'string' ? value.value : undefined
}

export function number(metadata: GgufMetadata, key: string): number | undefined {
  const value: GgufValue['value'] | undefined = metadata.get(key)?.value
  return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : undefined
}

function strings(metadata: GgufMetadata, key: string): readonly string[] {
  const value = metadata.get(key)
  return value?.type === 'array' && value.of === 'string' ? value.value : []
}
