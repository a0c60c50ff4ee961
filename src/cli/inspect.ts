import type { InspectedKey, Inspection } from '../../gguf/inspect-types.js'
import type { MemoryEstimate, SpeedEstimate } from '../../gguf/memory.js'
import { defineCommand, type OutputStream } from './command.js'
import { EXIT_FAILED, UsageError } from './errors.js'
import { jsonFlag } from './options.js'
import { formatBytes, formatPairs, formatTable, write, writeJson } from './output.js'

export const inspect = defineCommand({
  name: 'inspect',
  usage: 'inspect [options] <file|url>',
  summary: 'Look into a GGUF file, here or on a hub, without loading it',
  notes:
    'Shows what the file holds, what memory and speed to expect, and what is odd about it. Of a remote file only the ' +
    'header is read, about 2 MB. Ends with 1 if the file is damaged or incomplete.',
  options: {
    contextSize: {
      type: 'integer',
      doc: 'Tokens of context to estimate the memory for',
      default: 2048,
      group: 'Estimate:',
    },
    keys: { type: 'boolean', doc: 'List all keys, long values cut', group: 'Output:' },
    tensors: { type: 'boolean', doc: 'List all tensors', group: 'Output:' },
    json: { ...jsonFlag.json, doc: 'Print everything as JSON; with --keys long arrays in full' },
  },
  examples: [
    ['phi2 inspect phi-2.Q4_K_M.gguf', 'a file'],
    ['phi2 inspect hf:TheBloke/phi-2-GGUF/phi-2.Q4_K_M.gguf', 'a file on a hub, before downloading it'],
    ['phi2 inspect --tensors phi-2.Q4_K_M.gguf', 'names, types and shapes'],
  ],
  async run({ values, words, context }) {
    const [source, ...more] = words
    if (source === undefined) throw new UsageError('phi2 inspect needs a GGUF file, a URL or a name such as q4_k_m.')
    if (more.length > 0) throw new UsageError(`phi2 inspect takes one file, found ${words.join(' ')}.`)
    const { inspect: inspectFile } = await import('../../gguf/inspect.js')
    const found = await inspectFile({
      source,
      contextSize: values.contextSize,
      fullValues: values.json && values.keys,
      signal: context.signal,
    })
    if (values.json) await writeJson(context.stdout, found)
    else await write(context.stdout, formatInspection(found, { ...values, columns: columnsOf(context.stdout) }))
    return found.file.missingBytes > 0 ? EXIT_FAILED : 0
  },
})

/** In a pipe nothing is cut. */
function columnsOf(stream: OutputStream): number {
  return stream.isTTY ? (stream.columns ?? 80) : Number.POSITIVE_INFINITY
}

interface Format {
  keys?: boolean | undefined
  tensors?: boolean | undefined
  columns: number
}

export function formatInspection(found: Inspection, { columns, keys, tensors }: Format): string {
  const parts = [formatPairs(summary(found)), formatMixture(found)]
  if (found.memory) parts.push(formatMemory(found.memory))
  if (found.speed) parts.push(formatSpeed(found.speed))
  if (keys) parts.push(cutLines(formatKeys(found.keys), columns))
  if (tensors) parts.push(cutLines(formatTensors(found), columns))
  const remarks = [
    ...found.warnings.map(({ message }) => ['warning', message] as const),
    ...found.notes.map(({ message }) => ['note', message] as const),
  ]
  if (remarks.length > 0) parts.push(formatPairs(remarks))
  return `${parts.join('\n\n')}\n`
}

function summary({ file, model, shape, tokenizer, tensors, keys }: Inspection): [string, string][] {
  const size = file.bytes === undefined ? 'size not known' : `${formatBytes(file.bytes)} (${count(file.bytes)} bytes)`
  const bits = model.bitsPerWeight === undefined ? '' : `, ${model.bitsPerWeight.toFixed(2)} bits per weight`
  const pairs: [string, string][] = [
    ['file', file.source],
    ['size', size],
    ['format', `GGUF ${file.version}, ${count(keys.length)} keys, ${count(tensors.length)} tensors`],
    ['model', model.name ?? 'not named'],
    ['architecture', model.architecture ?? 'not named'],
    ['license', model.license ?? 'not named'],
    ['file type', `${model.fileType ?? 'not named'}${bits}`],
    ['parameters', count(model.parameters)],
  ]
  if (shape) {
    const { contextSize, embeddingSize, feedForwardSize, heads, headSize, kvHeads, layers } = shape
    const shared = kvHeads === heads ? '' : ` (${kvHeads} of keys and values)`
    pairs.push(
      ['shape', `${layers} layers, ${heads} heads of ${headSize}${shared}`],
      ['widths', `embedding ${embeddingSize}, feed-forward ${feedForwardSize}`],
      ['trained context', `${count(contextSize)} tokens`],
    )
  }
  if (tokenizer.tokens > 0) {
    const { merges, model: kind, pre, special, tokens, usedTokens } = tokenizer
    pairs.push(
      ['tokenizer', `${kind ?? 'not named'}, pre-tokenizer ${pre ?? 'not named'}`],
      ['vocabulary', `${count(usedTokens)} of ${count(tokens)} ids in use, ${count(merges)} merges`],
      ['special tokens', special.map(({ kind, id, text }) => `${kind} ${id} ${shown(text)}`).join(', ') || 'none'],
    )
  }
  return pairs
}

function formatMixture({ model }: Inspection): string {
  const rows = model.mixture.map(({ type, tensors, bytes }) => [
    type,
    count(tensors),
    formatBytes(bytes),
    `${((100 * bytes) / (model.tensorBytes || 1)).toFixed(1)} %`,
  ])
  return formatTable([['type', 'tensors', 'size', 'share'], ...rows])
}

function formatMemory({ compute, contextSize, kv, kvPerToken, total, weights }: MemoryEstimate): string {
  return formatTable([
    [`memory for ${count(contextSize)} tokens`, 'estimate', ''],
    ['weights', formatBytes(weights), 'mapped from the file'],
    ['KV cache (f16)', formatBytes(kv), `${count(kvPerToken)} bytes a token`],
    ['compute buffers', formatBytes(compute), ''],
    ['total', formatBytes(total), 'and 90 MB for Node and the vocabulary'],
  ])
}

function formatSpeed({ kvBytesAtContext, roofline, weightBytesPerToken, class: speedClass }: SpeedEstimate): string {
  const table = formatTable([
    ['memory bandwidth', 'roofline', 'with a full context', ''],
    ...roofline.map(({ gigabytesPerSecond, hardware, tokensPerSecond, tokensPerSecondAtContext }) => [
      `${gigabytesPerSecond} GB/s`,
      `${tokensPerSecond} tok/s`,
      `${tokensPerSecondAtContext} tok/s`,
      hardware,
    ]),
  ])
  return (
    `speed class: ${speedClass} (one token reads ${formatBytes(weightBytesPerToken)} of weights, and up to ` +
    `${formatBytes(kvBytesAtContext)} of the KV cache; an upper bound, not a measurement)\n${table}`
  )
}

/** More of a text tells no more. */
const LONGEST_VALUE = 100

function formatKeys(keys: readonly InspectedKey[]): string {
  const rows = keys.map(({ key, type, of, length, value }) =>
    Array.isArray(value)
      ? [key, `${of}[${length}]`, cut(`${value.map(shown).join(', ')}${value.length < (length ?? 0) ? ', …' : ''}`)]
      : [key, type, cut(shown(value))],
  )
  return formatTable([['key', 'type', 'value'], ...rows])
}

function formatTensors({ tensors }: Inspection): string {
  const rows = tensors.map(({ name, type, shape, offset, bytes }) => [
    name,
    type,
    shape.join('×'),
    count(bytes),
    count(offset),
  ])
  return formatTable([['tensor', 'type', 'shape', 'bytes', 'offset'], ...rows])
}

function shown(value: string | number | boolean | undefined): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}

function cut(text: string): string {
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE - 1)}…` : text
}

function cutLines(text: string, columns: number): string {
  const fit = (line: string) => (line.length > columns ? `${line.slice(0, columns - 1)}…` : line)
  return text.split('\n').map(fit).join('\n')
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}
