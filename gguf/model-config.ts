import { join } from 'node:path'
import { Phi2Error } from '../src/errors.js'
import { invalidCheckpoint, isObject, type JsonObject, readJsonObject } from './checkpoint-json.js'

/** The numbers of config.json that shape a Phi-2 model. */
export interface ModelConfig {
  /** Rows of the embedding matrix: padding rows included. */
  vocabularySize: number
  contextSize: number
  embeddingSize: number
  feedForwardSize: number
  layers: number
  heads: number
  layerNormEpsilon: number
  /** Features per head that rotary embedding turns. */
  rotarySize: number
  ropeTheta: number
  /** The JSON as it was: token ids are read from it as well. */
  json: JsonObject
}

/** What the numbers are called in config.json. */
interface Form {
  contextSize: string
  embeddingSize: string
  feedForwardSize: string
  layers: string
  heads: string
  keyValueHeads: string
  layerNormEpsilon: string
  activation: string
}

/** `model_type` → the names that go with it: those of Transformers, and of the code that came with Phi-2 before. */
const FORMS: { readonly [modelType: string]: Form } = {
  phi: {
    contextSize: 'max_position_embeddings',
    embeddingSize: 'hidden_size',
    feedForwardSize: 'intermediate_size',
    layers: 'num_hidden_layers',
    heads: 'num_attention_heads',
    keyValueHeads: 'num_key_value_heads',
    layerNormEpsilon: 'layer_norm_eps',
    activation: 'hidden_act',
  },
  'phi-msft': {
    contextSize: 'n_positions',
    embeddingSize: 'n_embd',
    feedForwardSize: 'n_inner',
    layers: 'n_layer',
    heads: 'n_head',
    keyValueHeads: 'n_head_kv',
    layerNormEpsilon: 'layer_norm_epsilon',
    activation: 'activation_function',
  },
}

/**
 * Reads config.json in the form that Transformers writes for Phi-2 (`model_type: "phi"`) or in the older one
 * (`"phi-msft"`), and refuses what llama.cpp's `phi2` graph does not compute, so that no file is written that loads and
 * then answers nonsense.
 *
 * @throws {Phi2Error} `PHI2_INVALID_CHECKPOINT` when it is missing or a number is missing or impossible,
 * `PHI2_NOT_PHI2` when it describes another architecture.
 */
export async function readModelConfig(folder: string): Promise<ModelConfig> {
  const json = await readJsonObject(join(folder, 'config.json'))
  if (json === undefined) {
    throw invalidCheckpoint(
      `There is no config.json in ${folder}. Expected the folder of a Phi-2 checkpoint as on Hugging Face.`,
    )
  }
  const form = formOf(json)
  const embeddingSize = integer(json, form.embeddingSize, 65536)
  const heads = integer(json, form.heads, 1024)
  if (embeddingSize % heads !== 0) {
    throw invalidCheckpoint(
      `config.json: ${form.embeddingSize} ${embeddingSize} is not a multiple of ${form.heads} ${heads}`,
    )
  }
  checkPlainAttention(json, form, heads)
  return {
    vocabularySize: integer(json, 'vocab_size', 2 ** 24),
    contextSize: integer(json, form.contextSize, 2 ** 24),
    embeddingSize,
    feedForwardSize: feedForwardSize(json, form, embeddingSize),
    layers: integer(json, form.layers, 1024),
    heads,
    layerNormEpsilon: positive(json[form.layerNormEpsilon], form.layerNormEpsilon),
    rotarySize: rotarySize(json, embeddingSize, heads),
    ropeTheta: positive(ropeParameter(json, 'rope_theta') ?? 10000, 'rope_theta'),
    json,
  }
}

function formOf(json: JsonObject): Form {
  const type = json.model_type
  const form = typeof type === 'string' && Object.hasOwn(FORMS, type) ? FORMS[type] : undefined
  if (form !== undefined) return form
  if (type === 'mixformer-sequential') {
    throw invalidCheckpoint(
      'config.json has model_type "mixformer-sequential", that of the first code of Phi-2, which llama.cpp does not ' +
        'know either. Expected "phi" or "phi-msft"; use a revision of the checkpoint of January 2024 or later.',
    )
  }
  throw new Phi2Error(
    'PHI2_NOT_PHI2',
    `config.json has model_type ${JSON.stringify(type)}; expected "phi", as Phi-2 has, or "phi-msft", as it had at first.`,
  )
}

/** The older form leaves it open: then it is four times the embedding, as always in Phi-2. */
function feedForwardSize(json: JsonObject, form: Form, embeddingSize: number): number {
  const open = form === FORMS['phi-msft'] && (json.n_inner ?? null) === null
  return open ? 4 * embeddingSize : integer(json, form.feedForwardSize, 2 ** 20)
}

/** Activations that are the tanh approximation of GELU, which is what the graph computes. */
const TANH_GELU = ['gelu_new', 'gelu_pytorch_tanh', 'gelu_fast']

function checkPlainAttention(json: JsonObject, form: Form, heads: number): void {
  const refuse = (key: string, expected: string) => {
    throw invalidCheckpoint(
      `config.json has ${key} ${JSON.stringify(json[key])}; Phi-2 has ${expected}, and llama.cpp computes nothing else`,
    )
  }
  if ((json[form.keyValueHeads] ?? heads) !== heads) refuse(form.keyValueHeads, String(heads))
  if (json.qk_layernorm === true) refuse('qk_layernorm', 'false')
  if ((json.rope_scaling ?? null) !== null) refuse('rope_scaling', 'null')
  if ((ropeParameter(json, 'rope_type') ?? 'default') !== 'default') refuse('rope_parameters', 'rope_type "default"')
  if (!TANH_GELU.includes((json[form.activation] ?? 'gelu_new') as string)) refuse(form.activation, '"gelu_new"')
}

/** Newer versions of Transformers keep these in `rope_parameters`. */
function ropeParameter(json: JsonObject, key: string): unknown {
  return json[key] ?? (isObject(json.rope_parameters) ? json.rope_parameters[key] : undefined)
}

/**
 * Transformers has a factor, of which llama.cpp's converter takes int(factor · n_embd) // n_head (conversion/phi.py); the
 * older form has the number itself.
 */
function rotarySize(json: JsonObject, embeddingSize: number, heads: number): number {
  const key = json.model_type === 'phi' ? 'partial_rotary_factor' : 'rotary_dim'
  const value = positive(ropeParameter(json, key), key)
  const size = key === 'rotary_dim' ? value : Math.floor(Math.trunc(value * embeddingSize) / heads)
  if (size === 0 || size % 2 !== 0 || size > embeddingSize / heads) {
    throw invalidCheckpoint(
      `config.json: ${key} ${value} turns ${size} of ${embeddingSize / heads} features of a head; ` +
        'expected an even number of them, 32 of 80 in Phi-2',
    )
  }
  return size
}

function integer(json: JsonObject, key: string, max: number): number {
  const value = json[key]
  if (Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= max) return value as number
  throw invalidCheckpoint(
    `config.json: expected an integer from 1 to ${max} for ${key}, found ${JSON.stringify(value)}`,
  )
}

function positive(value: unknown, key: string): number {
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value
  throw invalidCheckpoint(`config.json: expected a positive number for ${key}, found ${JSON.stringify(value)}`)
}
