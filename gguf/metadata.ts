import { invalidCheckpoint, isIndex, isObject } from './checkpoint-json.js'
import { FILE_TYPES } from './file-types.js'
import type { GgufMetadata } from './format.js'
import { type GeneralInfo, generalMetadata } from './general-metadata.js'
import type { ModelConfig } from './model-config.js'
import type { TokenizerFiles } from './tokenizer-files.js'

/** Kinds of tokens, as in `llama_token_type` of llama.h. */
export const TOKEN_TYPES = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const

/** Version of the quantized block layouts (`GGML_QNT_VERSION` in ggml.h). */
const QUANTIZATION_VERSION = 2

/** What llama.cpp assumes when `phi2.rope.freq_base` is not there. */
const DEFAULT_ROPE_THETA = 10000

/**
 * The keys that describe a Phi-2 model apart from its vocabulary, with the values, types and order that llama.cpp's own
 * converter gives them (conversion/phi.py and base.py); that no BOS token is added is one of them.
 * `phi2.rope.freq_base`, which that converter leaves out, is written when it is not 10000.
 */
export function modelMetadata(config: Omit<ModelConfig, 'json'>, general: GeneralInfo): GgufMetadata {
  const metadata = generalMetadata(general)
  const uint32 = (key: string, value: number) => metadata.set(key, { type: 'uint32', value })
  const float32 = (key: string, value: number) => metadata.set(key, { type: 'float32', value })

  uint32('phi2.context_length', config.contextSize)
  uint32('phi2.embedding_length', config.embeddingSize)
  uint32('phi2.feed_forward_length', config.feedForwardSize)
  uint32('phi2.block_count', config.layers)
  uint32('phi2.attention.head_count', config.heads)
  uint32('phi2.attention.head_count_kv', config.heads)
  float32('phi2.attention.layer_norm_epsilon', config.layerNormEpsilon)
  uint32('phi2.rope.dimension_count', config.rotarySize)
  if (config.ropeTheta !== DEFAULT_ROPE_THETA) float32('phi2.rope.freq_base', config.ropeTheta)
  uint32('general.file_type', FILE_TYPES[general.fileType].id)
  metadata.set('tokenizer.ggml.add_bos_token', { type: 'bool', value: false })
  uint32('general.quantization_version', QUANTIZATION_VERSION)
  return metadata
}

/**
 * The keys of the vocabulary. Rows of the embedding matrix that no token uses (50295 to 51199 in Phi-2) become unused
 * tokens named `[PAD50295]` and so on. The pre-tokenizer is always `phi-2`: GPT-2's pattern.
 *
 * @throws {Phi2Error} `PHI2_INVALID_CHECKPOINT` when two tokens share an id, an id lies beyond the embedding matrix, or
 * the end of text is not known.
 */
export function tokenizerMetadata(
  files: TokenizerFiles,
  config: Pick<ModelConfig, 'vocabularySize' | 'json'>,
): GgufMetadata {
  const { tokens, types } = tokenTable(files, config.vocabularySize)
  const metadata: GgufMetadata = new Map()
  metadata.set('tokenizer.ggml.model', { type: 'string', value: 'gpt2' })
  metadata.set('tokenizer.ggml.pre', { type: 'string', value: 'phi-2' })
  metadata.set('tokenizer.ggml.tokens', { type: 'array', of: 'string', value: tokens })
  metadata.set('tokenizer.ggml.token_type', { type: 'array', of: 'int32', value: types })
  metadata.set('tokenizer.ggml.merges', { type: 'array', of: 'string', value: checkedMerges(files.merges) })
  for (const [key, value] of specialTokens(files, config)) metadata.set(key, { type: 'uint32', value })
  for (const kind of ['bos', 'eos', 'sep']) {
    const value = files.config[`add_${kind}_token`]
    if (typeof value === 'boolean') metadata.set(`tokenizer.ggml.add_${kind}_token`, { type: 'bool', value })
  }
  for (const [key, value] of chatTemplates(files)) metadata.set(key, value)
  return metadata
}

function chatTemplates({ chatTemplates }: TokenizerFiles): GgufMetadata {
  const metadata: GgufMetadata = new Map()
  const names: string[] = []
  for (const [name, value] of chatTemplates) {
    if (name === 'default') continue
    names.push(name.replace(/[^A-Za-z0-9]/g, '_'))
    metadata.set(`tokenizer.chat_template.${names.at(-1)}`, { type: 'string', value })
  }
  if (names.length > 0) metadata.set('tokenizer.chat_templates', { type: 'array', of: 'string', value: names })
  const value = chatTemplates.get('default')
  if (value !== undefined) metadata.set('tokenizer.chat_template', { type: 'string', value })
  return metadata
}

function tokenTable(files: TokenizerFiles, vocabularySize: number) {
  const tokens = Array.from({ length: vocabularySize }, (_, id) => `[PAD${id}]`)
  const types = new Array<number>(vocabularySize).fill(TOKEN_TYPES.unused)
  const place = (id: number, token: string, type: number) => {
    if (id >= vocabularySize) {
      throw invalidCheckpoint(
        `token ${JSON.stringify(token)} has id ${id}, but config.json has vocab_size ${vocabularySize}`,
      )
    }
    if (types[id] !== TOKEN_TYPES.unused && tokens[id] !== token) {
      throw invalidCheckpoint(`id ${id} stands for ${JSON.stringify(tokens[id])} and for ${JSON.stringify(token)}`)
    }
    tokens[id] = token
    types[id] = type
  }
  for (const [token, id] of files.vocabulary) place(id, token, TOKEN_TYPES.normal)
  for (const { id, content, special } of addedTokens(files)) {
    place(id, content, special || looksSpecial(content) ? TOKEN_TYPES.control : TOKEN_TYPES.userDefined)
  }
  return { tokens, types }
}

const END_OF_TEXT = '<|endoftext|>'

/** added_tokens.json, unlike the other two lists, leaves the end of text out: it is in the vocabulary already. */
function addedTokens({ added, vocabulary }: TokenizerFiles) {
  const id = vocabulary.get(END_OF_TEXT)
  return id === undefined ? added : [...added, { id, content: END_OF_TEXT, special: true }]
}

/** Fine-tunes do not always mark `<|im_end|>` and its like as special; the converter of llama.cpp takes them so too. */
function looksSpecial(token: string): boolean {
  return /^(<\|.*\|>|<｜.*｜>|<unused.*>|<pad>|<mask>|<2mass>|\[@BOS@\])$/s.test(token)
}

function checkedMerges(merges: readonly string[]): readonly string[] {
  if (merges.length === 0) throw invalidCheckpoint('the vocabulary has no merges')
  const odd = merges.find((merge) => !/^[^ ]+ [^ ]+$/.test(merge))
  if (odd !== undefined) throw invalidCheckpoint(`a merge joins two parts, found ${JSON.stringify(odd)}`)
  return merges
}

const SPECIAL_KEYS = [
  ['bos', 'tokenizer.ggml.bos_token_id'],
  ['eos', 'tokenizer.ggml.eos_token_id'],
  ['unk', 'tokenizer.ggml.unknown_token_id'],
  // llama.cpp spells it so
  ['sep', 'tokenizer.ggml.seperator_token_id'],
  ['pad', 'tokenizer.ggml.padding_token_id'],
  ['mask', 'tokenizer.ggml.mask_token_id'],
] as const

/**
 * By tokenizer_config.json, else by config.json. Checkpoints of before 27 January 2024 name none, and without an end of
 * text generation would never stop: there it is `<|endoftext|>`, which Phi-2 uses for all three.
 */
function specialTokens(
  files: TokenizerFiles,
  config: Pick<ModelConfig, 'vocabularySize' | 'json'>,
): [string, number][] {
  const ids = new Map([...files.vocabulary, ...files.added.map(({ content, id }) => [content, id] as const)])
  const found: [string, number][] = []
  for (const [kind, key] of SPECIAL_KEYS) {
    const configured = config.json[`${kind}_token_id`]
    const fallback = ['bos', 'eos', 'unk'].includes(kind) ? ids.get(END_OF_TEXT) : undefined
    const id = ids.get(tokenText(files.config[`${kind}_token`]) ?? '') ?? (isIndex(configured) ? configured : fallback)
    if (id === undefined && kind === 'eos')
      throw invalidCheckpoint(`the vocabulary has no ${END_OF_TEXT} and names no other end of text`)
    if (id === undefined) continue
    if (id >= config.vocabularySize)
      throw invalidCheckpoint(`the ${kind} token has id ${id} of ${config.vocabularySize}`)
    found.push([key, id])
  }
  return found
}

function tokenText(entry: unknown): string | undefined {
  const text = isObject(entry) ? entry.content : entry
  return typeof text === 'string' ? text : undefined
}
