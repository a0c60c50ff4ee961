import type { CheckpointNaming } from './checkpoint-naming.js'
import { type FloatType, type GgufMetadata, invalidGguf } from './format.js'
import { TOKEN_TYPES } from './metadata.js'
import type { ModelConfig } from './model-config.js'

/**
 * The small files of a Phi-2 checkpoint as Transformers writes them: what `model-config.ts` and `tokenizer-files.ts` read.
 * Pure: name of each file and its text. Each is made when it is asked for, since the largest take some milliseconds.
 */
export type CheckpointFiles = Iterable<readonly [name: string, text: string]>

const TORCH_DTYPES: Record<FloatType, string> = { f32: 'float32', f16: 'float16', bf16: 'bfloat16' }

/** config.json and generation_config.json. */
export function* configFiles(
  config: Omit<ModelConfig, 'json'>,
  vocabulary: GgufMetadata,
  dtype: FloatType,
  naming: CheckpointNaming,
): CheckpointFiles {
  const ids = {
    bos_token_id: idOf(vocabulary, 'bos'),
    eos_token_id: idOf(vocabulary, 'eos'),
  }
  yield [
    'config.json',
    jsonText(naming === 'current' ? currentConfig(config, ids, dtype) : remoteCodeConfig(config, dtype)),
  ]
  // checkpoints with their own code named no end of text
  const generation = { _from_model_config: true, ...(naming === 'current' && ids) }
  yield ['generation_config.json', jsonText({ ...generation, transformers_version: '4.37.0.dev0' })]
}

function currentConfig(config: Omit<ModelConfig, 'json'>, ids: object, dtype: FloatType): object {
  return sortKeys({
    ...ids,
    architectures: ['PhiForCausalLM'],
    attention_dropout: 0,
    embd_pdrop: 0,
    hidden_act: 'gelu_new',
    hidden_size: config.embeddingSize,
    initializer_range: 0.02,
    intermediate_size: config.feedForwardSize,
    layer_norm_eps: config.layerNormEpsilon,
    max_position_embeddings: config.contextSize,
    model_type: 'phi',
    num_attention_heads: config.heads,
    num_hidden_layers: config.layers,
    num_key_value_heads: config.heads,
    partial_rotary_factor: partialRotaryFactor(config),
    qk_layernorm: false,
    resid_pdrop: 0.1,
    rope_scaling: null,
    rope_theta: config.ropeTheta,
    tie_word_embeddings: false,
    torch_dtype: TORCH_DTYPES[dtype],
    transformers_version: '4.37.0',
    use_cache: true,
    vocab_size: config.vocabularySize,
  })
}

/** It says neither `partial_rotary_factor` nor `rope_theta`, and `n_inner` only where it is not 4 · n_embd. */
function remoteCodeConfig(config: Omit<ModelConfig, 'json'>, dtype: FloatType): object {
  const usual = config.feedForwardSize === 4 * config.embeddingSize
  return sortKeys({
    activation_function: 'gelu_new',
    architectures: ['PhiForCausalLM'],
    attn_pdrop: 0,
    auto_map: {
      AutoConfig: 'configuration_phi.PhiConfig',
      AutoModelForCausalLM: 'modeling_phi.PhiForCausalLM',
    },
    embd_pdrop: 0,
    flash_attn: false,
    flash_rotary: false,
    fused_dense: false,
    initializer_range: 0.02,
    layer_norm_epsilon: config.layerNormEpsilon,
    model_type: 'phi-msft',
    n_embd: config.embeddingSize,
    n_head: config.heads,
    n_head_kv: null,
    n_inner: usual ? null : config.feedForwardSize,
    n_layer: config.layers,
    n_positions: config.contextSize,
    resid_pdrop: 0.1,
    rotary_dim: config.rotarySize,
    tie_word_embeddings: false,
    torch_dtype: TORCH_DTYPES[dtype],
    transformers_version: '4.35.2',
    vocab_size: config.vocabularySize,
  })
}

/** The least factor from which int(factor · n_embd) // n_head gives back the rotary size: the quotient may be rounded down. */
function partialRotaryFactor({ rotarySize, embeddingSize, heads }: Omit<ModelConfig, 'json'>): number {
  let factor = rotarySize / (embeddingSize / heads)
  while (Math.floor(Math.trunc(factor * embeddingSize) / heads) < rotarySize) factor += Number.EPSILON
  return factor
}

/**
 * The files of the vocabulary that a GGUF file holds. Its unused rows, which pad the matrices, are left out.
 * @throws {Phi2Error} `PHI2_INVALID_GGUF` when it holds no byte-pair vocabulary.
 */
export function* tokenizerFiles(vocabulary: GgufMetadata): CheckpointFiles {
  const { base, added } = splitVocabulary(vocabulary)
  const merges = texts(vocabulary, 'tokenizer.ggml.merges')
  const special = Object.fromEntries(
    (['bos', 'eos', 'unk'] as const).flatMap((kind) => {
      const id = idOf(vocabulary, kind)
      return id === undefined ? [] : [[`${kind}_token`, texts(vocabulary, TOKENS)[id]]]
    }),
  )
  const onlyAdded = added.filter(isOnlyAdded).map(({ id, content }) => [content, id])
  yield ['vocab.json', vocabularyText(base)]
  yield ['merges.txt', `#version: 0.2\n${merges.map((merge) => `${merge}\n`).join('')}`]
  yield ['added_tokens.json', jsonText(Object.fromEntries(onlyAdded))]
  yield ['special_tokens_map.json', jsonText(special)]
  yield ['tokenizer_config.json', jsonText(tokenizerConfig(added, special))]
  yield ['tokenizer.json', jsonText(fastTokenizer(base, merges, added))]
}

interface Token {
  id: number
  content: string
  type: number
}

const TOKENS = 'tokenizer.ggml.tokens'
/** In Phi-2 it is part of the base vocabulary as well as an added token. */
const END_OF_TEXT = '<|endoftext|>'

function splitVocabulary(vocabulary: GgufMetadata): { base: Token[]; added: Token[] } {
  const types = vocabulary.get('tokenizer.ggml.token_type')?.value as readonly number[] | undefined
  const all = texts(vocabulary, TOKENS).map((content, id) => ({ id, content, type: types?.[id] ?? TOKEN_TYPES.normal }))
  return {
    base: all.filter((token) => token.type === TOKEN_TYPES.normal || !isOnlyAdded(token)),
    added: all.filter(({ type }) => type === TOKEN_TYPES.control || type === TOKEN_TYPES.userDefined),
  }
}

function isOnlyAdded({ content }: Token): boolean {
  return content !== END_OF_TEXT
}

function vocabularyText(tokens: readonly Token[]): string {
  // not by JSON.stringify: an object puts '0' and other numbers first
  return `{${tokens.map(({ id, content }) => `${JSON.stringify(content)}:${id}`).join(',')}}`
}

/** How added tokens are found in a text: end of text as it stands, runs of white space after normalizing. */
function addedEntry({ content, type }: Token): object {
  const special = type === TOKEN_TYPES.control
  return { content, lstrip: false, normalized: !special, rstrip: false, single_word: false, special }
}

function tokenizerConfig(added: readonly Token[], special: object): object {
  return sortKeys({
    ...special,
    add_prefix_space: false,
    added_tokens_decoder: Object.fromEntries(added.map((token) => [token.id, addedEntry(token)])),
    clean_up_tokenization_spaces: true,
    model_max_length: 2048,
    tokenizer_class: 'CodeGenTokenizer',
  })
}

function fastTokenizer(base: readonly Token[], merges: readonly string[], added: readonly Token[]): object {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added.map((token) => ({ id: token.id, ...addedEntry(token) })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: { ...byteLevel, add_prefix_space: true, trim_offsets: false },
    decoder: { ...byteLevel, add_prefix_space: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      vocab: Object.fromEntries(base.map(({ id, content }) => [content, id])),
      merges,
    },
  }
}

const ID_KEYS = {
  bos: 'tokenizer.ggml.bos_token_id',
  eos: 'tokenizer.ggml.eos_token_id',
  unk: 'tokenizer.ggml.unknown_token_id',
} as const

function idOf(vocabulary: GgufMetadata, kind: keyof typeof ID_KEYS): number | undefined {
  const value = vocabulary.get(ID_KEYS[kind])?.value
  return typeof value === 'number' ? value : undefined
}

function texts(vocabulary: GgufMetadata, key: string): readonly string[] {
  const entry = vocabulary.get(key)
  if (entry?.type === 'array' && entry.of === 'string') return entry.value
  throw invalidGguf(`the file given for vocabulary has no ${key}: it holds no byte-pair vocabulary`)
}

/** Transformers sorts the keys of its files. */
function sortKeys(value: object): object {
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}

function jsonText(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
