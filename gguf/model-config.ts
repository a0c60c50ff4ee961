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

/**
 * Reads config.json in the form that Transformers writes for Phi-2 (`model_type: "phi"`), and refuses what llama.cpp's
 * `phi2` graph does not compute, so that no file is written that loads and then answers nonsense.
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
  checkArchitecture(json)
  const embeddingSize = integer(json, 'hidden_size', 65536)
  const heads = integer(json, 'num_attention_heads', 1024)
  if (embeddingSize % heads !== 0) {
    throw invalidCheckpoint(
      `config.json: hidden_size ${embeddingSize} is not a multiple of num_attention_heads ${heads}`,
    )
  }
  checkPlainAttention(json, heads)
  return {
    vocabularySize: integer(json, 'vocab_size', 2 ** 24),
    contextSize: integer(json, 'max_position_embeddings', 2 ** 24),
    embeddingSize,
    feedForwardSize: integer(json, 'intermediate_size', 2 ** 20),
    layers: integer(json, 'num_hidden_layers', 1024),
    heads,
    layerNormEpsilon: positive(json.layer_norm_eps, 'layer_norm_eps'),
    rotarySize: rotarySize(ropeParameter(json, 'partial_rotary_factor'), embeddingSize, heads),
    ropeTheta: positive(ropeParameter(json, 'rope_theta') ?? 10000, 'rope_theta'),
    json,
  }
}

function checkArchitecture(json: JsonObject): void {
  const type = json.model_type
  if (type === 'phi') return
  if (type === 'phi-msft' || type === 'mixformer-sequential') {
    throw new Phi2Error(
      'PHI2_NOT_PHI2',
      `config.json has model_type "${type}": a Phi-2 checkpoint of before January 2024. ` +
        'Expected "phi"; use a later revision of the checkpoint.',
    )
  }
  throw new Phi2Error(
    'PHI2_NOT_PHI2',
    `config.json has model_type ${JSON.stringify(type)}; expected "phi", as Phi-2 has.`,
  )
}

/** Activations that are the tanh approximation of GELU, which is what the graph computes. */
const TANH_GELU = ['gelu_new', 'gelu_pytorch_tanh', 'gelu_fast']

function checkPlainAttention(json: JsonObject, heads: number): void {
  const refuse = (key: string, expected: string) => {
    throw invalidCheckpoint(
      `config.json has ${key} ${JSON.stringify(json[key])}; Phi-2 has ${expected}, and llama.cpp computes nothing else`,
    )
  }
  if ((json.num_key_value_heads ?? heads) !== heads) refuse('num_key_value_heads', String(heads))
  if (json.qk_layernorm === true) refuse('qk_layernorm', 'false')
  if ((json.rope_scaling ?? null) !== null) refuse('rope_scaling', 'null')
  if (!TANH_GELU.includes((json.hidden_act ?? 'gelu_new') as string)) refuse('hidden_act', '"gelu_new"')
}

/** Newer versions of Transformers keep these two in `rope_parameters`. */
function ropeParameter(json: JsonObject, key: string): unknown {
  return json[key] ?? (isObject(json.rope_parameters) ? json.rope_parameters[key] : undefined)
}

/** int(factor · n_embd) // n_head, as llama.cpp's converter has it (conversion/phi.py). */
function rotarySize(factor: unknown, embeddingSize: number, heads: number): number {
  const size = Math.floor(Math.trunc(positive(factor, 'partial_rotary_factor') * embeddingSize) / heads)
  if (size === 0 || size % 2 !== 0 || size > embeddingSize / heads) {
    throw invalidCheckpoint(
      `config.json: partial_rotary_factor ${factor} turns ${size} of ${embeddingSize / heads} features of a head; ` +
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
