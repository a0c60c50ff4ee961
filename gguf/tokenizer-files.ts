import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { invalidCheckpoint, isIndex, isObject, type JsonObject, readJsonObject, readText } from './checkpoint-json.js'

/** A token that was added to the byte-pair vocabulary: end of text, runs of spaces and tabs, a fine-tune's markers. */
export interface AddedToken {
  id: number
  content: string
  /** Special tokens are cut out of generated text. */
  special: boolean
}

/** The vocabulary of a checkpoint folder. */
export interface TokenizerFiles {
  /** Token → id, added tokens not necessarily included. */
  vocabulary: ReadonlyMap<string, number>
  /** `a b`: the two parts, joined by a space, highest rank first. */
  merges: readonly string[]
  added: readonly AddedToken[]
  /** tokenizer_config.json, or empty when there is none. */
  config: JsonObject
  /** By name, the usual one being `default`. Phi-2 has none; fine-tunes may. */
  chatTemplates: ReadonlyMap<string, string>
}

/**
 * Reads a byte-pair vocabulary: tokenizer.json, else vocab.json with merges.txt and added_tokens.json.
 * @throws {Phi2Error} `PHI2_INVALID_CHECKPOINT` when neither is there or one is malformed.
 */
export async function readTokenizerFiles(folder: string): Promise<TokenizerFiles> {
  const config = (await readJsonObject(join(folder, 'tokenizer_config.json'))) ?? {}
  const fast = await readJsonObject(join(folder, 'tokenizer.json'))
  // parsing took its time: other work gets its turn
  await nextTurn()
  const files = fast === undefined ? await readSlow(folder, config) : readFast(fast, config)
  await nextTurn()
  return { ...files, chatTemplates: chatTemplates(config.chat_template ?? (await chatTemplateFile(folder))) }
}

async function chatTemplateFile(folder: string): Promise<unknown> {
  const text = await readText(join(folder, 'chat_template.jinja'))
  return text ?? (await readJsonObject(join(folder, 'chat_template.json')))?.chat_template
}

/** One text, or a list of them with names. */
function chatTemplates(given: unknown): Map<string, string> {
  const list = Array.isArray(given) ? given.filter(isObject) : [{ name: 'default', template: given }]
  return new Map(
    list.flatMap(({ name, template }) =>
      typeof name === 'string' && typeof template === 'string' ? [[name, template] as const] : [],
    ),
  )
}

type Vocabulary = Omit<TokenizerFiles, 'chatTemplates'>

function readFast(json: JsonObject, config: JsonObject): Vocabulary {
  const model = isObject(json.model) ? json.model : {}
  if ((model.type ?? 'BPE') !== 'BPE' || !isObject(model.vocab) || !Array.isArray(model.merges)) {
    throw invalidCheckpoint('tokenizer.json holds no byte-pair encoding (BPE) with vocab and merges, which Phi-2 has')
  }
  checkPreTokenizer(json.pre_tokenizer)
  const added = Array.isArray(json.added_tokens) ? json.added_tokens : []
  return {
    vocabulary: vocabularyOf(model.vocab, 'tokenizer.json'),
    merges: model.merges.map(mergeOf),
    added: added.map((entry) => addedToken(isObject(entry) ? entry.id : undefined, entry, 'tokenizer.json')),
    config,
  }
}

/** A model of the same form with the vocabulary of another family would load, and read every text wrongly. */
function checkPreTokenizer(found: unknown = { type: 'ByteLevel' }): void {
  if (isObject(found) && found.type === 'ByteLevel' && found.use_regex !== false) return
  throw invalidCheckpoint(
    `tokenizer.json splits texts otherwise than Phi-2: its pre_tokenizer is ${JSON.stringify(found).slice(0, 200)}; ` +
      'expected "ByteLevel" with its own pattern',
  )
}

/** Written as `a b` before Transformers 4.45 and as a pair since. A space inside a part is byte-encoded, as all spaces. */
function mergeOf(merge: unknown): string {
  if (typeof merge === 'string') return merge
  if (Array.isArray(merge) && merge.length === 2 && merge.every((part) => typeof part === 'string')) {
    return merge.map((part: string) => part.replaceAll(' ', 'Ġ')).join(' ')
  }
  throw invalidCheckpoint(`tokenizer.json has a merge of an unknown form: ${JSON.stringify(merge)}`)
}

async function readSlow(folder: string, config: JsonObject): Promise<Vocabulary> {
  const vocabulary = await readJsonObject(join(folder, 'vocab.json'))
  const merges = await readText(join(folder, 'merges.txt'))
  if (vocabulary === undefined || merges === undefined) {
    throw invalidCheckpoint(`${folder} has no vocabulary. Expected tokenizer.json, or vocab.json and merges.txt.`)
  }
  return {
    vocabulary: vocabularyOf(vocabulary, 'vocab.json'),
    merges: merges.split(/\r?\n/).filter((line, index) => line.trim() !== '' && !(index === 0 && line.startsWith('#'))),
    added: await readAddedTokens(folder, config),
    config,
  }
}

/** tokenizer_config.json says which added tokens are special; added_tokens.json only lists those that are not. */
async function readAddedTokens(folder: string, config: JsonObject): Promise<AddedToken[]> {
  if (isObject(config.added_tokens_decoder)) {
    return Object.entries(config.added_tokens_decoder).map(([id, entry]) =>
      addedToken(Number(id), entry, 'tokenizer_config.json'),
    )
  }
  const added = (await readJsonObject(join(folder, 'added_tokens.json'))) ?? {}
  return Object.entries(added).map(([content, id]) => addedToken(id, { content }, 'added_tokens.json'))
}

function vocabularyOf(json: JsonObject, file: string): Map<string, number> {
  const vocabulary = new Map<string, number>()
  for (const [token, id] of Object.entries(json)) {
    if (!isIndex(id)) throw invalidCheckpoint(`${file} gives ${JSON.stringify(token)} the id ${JSON.stringify(id)}`)
    vocabulary.set(token, id)
  }
  return vocabulary
}

function addedToken(id: unknown, entry: unknown, file: string): AddedToken {
  if (!isIndex(id) || !isObject(entry) || typeof entry.content !== 'string') {
    throw invalidCheckpoint(`${file} has an added token without id and content: ${JSON.stringify(entry)}`)
  }
  return { id, content: entry.content, special: entry.special === true }
}
