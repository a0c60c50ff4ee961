import type { DeviceShare, ModelInfo, TunedOptions } from '../types.js'
import { defineCommand } from './command.js'
import { UsageError } from './errors.js'
import { withModel } from './load.js'
import { jsonFlag, loadFlags, loadOptions } from './options.js'
import { formatBytes, formatPairs, write, writeJson } from './output.js'

export const info = defineCommand({
  name: 'info',
  usage: 'info [options]',
  summary: 'Show what is loaded and where it runs',
  options: { ...jsonFlag, ...loadFlags },
  examples: [
    ['phi2 info --model phi-2.Q4_K_M.gguf', 'a model file'],
    ['phi2 info --json', 'for a program'],
  ],
  async run({ values, words, context }) {
    if (words.length > 0)
      throw new UsageError(`phi2 info takes no argument, found ${words[0]}. A file is --model FILE.`)
    await withModel(context, loadOptions(values), async (phi2) => {
      if (values.json) await writeJson(context.stdout, phi2.info)
      else await write(context.stdout, `${formatInfo(phi2.info)}\n`)
    })
    return 0
  },
})

export function formatInfo(model: ModelInfo): string {
  return formatPairs([
    ['model', model.embedded ? `${model.name} (embedded toy model)` : model.name],
    ['path', model.path],
    ...(model.draft === undefined ? [] : [['draft model', model.draft] as const]),
    ['file type', model.fileType],
    ['parameters', model.parameters.toLocaleString('en-US')],
    ['size', formatBytes(model.size)],
    ['vocabulary', `${model.usedVocabularySize} of ${model.vocabularySize} ids in use`],
    ['shape', `${model.layers} layers, ${model.heads} heads of ${model.headSize}, embedding ${model.embeddingSize}`],
    ['trained context', `${model.trainedContextSize} tokens`],
    ['context', `${model.contextSize} cells, ${model.sequenceSize} positions for one sequence`],
    ['sequences', `${model.maxSequences} at once`],
    ['batch', `${model.batchSize} tokens, ${model.microBatchSize} computed at once`],
    ['threads', String(model.threads)],
    ['mode', model.mode],
    ...model.devices.map((device) => ['device', formatShare(device)] as const),
    ...model.notTaken.map(({ name, reason }) => ['not taken', `${name}: ${reason}`] as const),
    ['KV cache', model.kvType],
    ['flash attention', formatFlashAttention(model.flashAttention)],
    ...(model.tuned
      ? [['tuned', `${formatTuned(model.tuned.options)} (phi2 tune, ${model.tuned.date})`] as const]
      : []),
  ])
}

export function formatFlashAttention(flashAttention: boolean | 'auto'): string {
  return typeof flashAttention === 'boolean' ? (flashAttention ? 'on' : 'off') : 'auto'
}

function formatShare({ compute, description, kv, layers, name, weights }: DeviceShare): string {
  const held = `weights ${formatBytes(weights)}, KV cache ${formatBytes(kv)}, compute ${formatBytes(compute)}`
  return `${name}${description && ` (${description})`}: ${layers} layers, ${held}`
}

/** `threads 8, batchSize 512` */
export function formatTuned(options: Partial<TunedOptions>): string {
  return Object.entries(options)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')
}
