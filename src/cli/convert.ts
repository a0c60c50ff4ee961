import { OUT_TYPES } from '../../gguf/out-types.js'
import { defineCommand } from './command.js'
import { UsageError } from './errors.js'
import { forceFlag, jsonFlag } from './options.js'
import { formatBytes, write, writeJson } from './output.js'
import { ProgressLine } from './progress-line.js'

export const convert = defineCommand({
  name: 'convert',
  usage: 'convert [options] <folder>',
  summary: 'Make a GGUF file from a Phi-2 checkpoint in safetensors format',
  notes:
    'The folder is one as on Hugging Face: config.json, the tokenizer’s files, and safetensors in one file or several, ' +
    'with the names of today or those of before January 2024. The file has the keys and tensors that llama.cpp’s own ' +
    'converter writes. Smaller types than these: phi2 quantize.',
  options: {
    output: {
      type: 'string',
      alias: 'o',
      doc: 'The file to write (default: FOLDER-TYPE.gguf in the current folder)',
      group: 'Output:',
    },
    ...forceFlag,
    outtype: {
      type: 'string',
      choices: OUT_TYPES,
      doc: 'Type of the matrices; auto is the 16-bit type of the checkpoint',
      default: 'auto',
      group: 'Conversion:',
    },
    fuseQkv: {
      type: 'boolean',
      doc: 'Query, key and value of a layer in one tensor, as files of before 2024 have it',
      group: 'Conversion:',
    },
    verify: { type: 'boolean', doc: 'Read the file back and compare every byte', group: 'Conversion:' },
    name: {
      type: 'string',
      doc: 'The model’s name (default: from the model card or the folder)',
      group: 'Conversion:',
    },
    license: { type: 'string', doc: 'Its license, such as mit (default: from the model card)', group: 'Conversion:' },
    ...jsonFlag,
  },
  examples: [
    ['phi2 convert ./phi-2', 'phi-2-f16.gguf'],
    ['phi2 convert ./phi-2 --outtype q8_0 --verify', 'half the size, checked'],
  ],
  async run({ values, words, context }) {
    const [from, extra] = words
    if (from === undefined) throw new UsageError('phi2 convert needs the folder of a checkpoint: phi2 convert ./phi-2.')
    if (extra !== undefined) throw new UsageError(`phi2 convert takes one folder, found ${extra} as well.`)
    const { output: to, force: overwrite = false, json = false, ...options } = values
    const { convert } = await import('../../gguf/convert.js')
    const progress = new ProgressLine(context.stderr, 'converting')
    const onProgress = (fraction: number) => {
      progress.update(fraction, options.verify && fraction > 0.5 ? 'reading back' : '')
    }
    try {
      const result = await convert({ ...options, from, to, overwrite, signal: context.signal, onProgress })
      progress.end()
      if (json) await writeJson(context.stdout, result)
      else {
        const { path, outtype, tensors, bytes } = result
        await write(context.stdout, `${path}: ${outtype}, ${tensors} tensors, ${formatBytes(bytes)}\n`)
      }
    } finally {
      progress.end()
    }
    return 0
  },
})
