import { basename } from 'node:path'
import type { MemoryPlan, NotTaken } from '../types.js'
import { defineCommand } from './command.js'
import { EXIT_FAILED, UsageError } from './errors.js'
import { formatFlashAttention } from './info.js'
import { jsonFlag, loadFlags, loadOptions } from './options.js'
import { formatBytes, formatPairs, formatTable, write, writeJson, writeNote } from './output.js'

export const plan = defineCommand({
  name: 'plan',
  usage: 'plan [options] [model]',
  summary: 'Show what a model would take on each device, and whether it fits',
  notes:
    'Nothing is loaded: llama.cpp goes through its own allocations and adds them up. The options are those of a load, and ' +
    'layers go where a load would put them. Of a model that is not in the cache only the header is read, about 2 MB. Ends ' +
    'with 1 if there is not enough room.',
  options: { ...jsonFlag, ...loadFlags },
  examples: [
    ['phi2 plan q4_k_m', 'does it fit here?'],
    ['phi2 plan phi-2-f16.gguf --context-size 16384 --max-sequences 16', 'with room for many answers'],
    ['phi2 plan q8_0 --gpu-layers 20', 'with 20 layers on the GPU'],
  ],
  async run({ values, words, context }) {
    const [model = values.model, ...more] = words
    if (more.length > 0) throw new UsageError(`phi2 plan takes one model, found ${words.join(' ')}.`)
    if (words.length > 0 && values.model !== undefined) throw new UsageError('The model was given twice.')
    const { Phi2 } = await import('../phi2.js')
    const options = { ...loadOptions(values), signal: context.signal }
    const planned = await Phi2.plan(model === undefined ? options : { ...options, model })
    for (const warning of planned.warnings) await writeNote(context.stderr, `phi2: ${warning}`)
    if (values.json) await writeJson(context.stdout, planned)
    else await write(context.stdout, `${formatPlan(planned)}\n`)
    return planned.fits ? 0 : EXIT_FAILED
  },
})

export function formatPlan(plan: MemoryPlan): string {
  const { batchSize, contextSize, devices, gpuLayers, kvType, layers, maxSequences, microBatchSize, mode } = plan
  const parts = [
    formatPairs([
      ['model', basename(plan.path)],
      ['mode', mode],
      ['context', `${contextSize} cells of ${kvType} for ${maxSequences} answers at once`],
      ['batch', `${batchSize} tokens, ${microBatchSize} computed at once`],
      ['flash attention', formatFlashAttention(plan.flashAttention)],
      ['layers', `${gpuLayers} of ${layers} on GPUs`],
    ]),
    formatTable([
      ['device', 'layers', 'weights', 'KV cache', 'compute', 'together', 'free', 'memory', ''],
      ...devices.map((device) => [
        device.name,
        String(device.layers),
        formatBytes(device.weights),
        formatBytes(device.kv),
        formatBytes(device.compute),
        formatBytes(device.weights + device.kv + device.compute),
        formatBytes(device.memoryFree),
        formatBytes(device.memoryTotal),
        device.fits ? 'fits' : 'does not fit',
      ]),
    ]),
  ]
  if (plan.notTaken.length > 0) parts.push(formatNotTaken(plan.notTaken))
  return parts.join('\n\n')
}

export function formatNotTaken(notTaken: readonly NotTaken[]): string {
  return formatTable([['not taken', 'because'], ...notTaken.map(({ name, reason }) => [name, reason])])
}
