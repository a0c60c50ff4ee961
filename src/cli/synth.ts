import { NAMINGS } from '../../gguf/checkpoint-naming.js'
import { CHECKPOINT_TYPES, SYNTH_TYPES } from '../../gguf/synth-types.js'
import { defineCommand } from './command.js'
import { UsageError } from './errors.js'
import { jsonFlag } from './options.js'
import { formatBytes, write, writeJson } from './output.js'
import { ProgressLine } from './progress-line.js'

export const synth = defineCommand({
  name: 'synth',
  usage: 'synth [options]',
  summary: 'Make a Phi-2 with random weights, to measure speed',
  notes:
    'It answers nonsense, but it computes just what a real file of its size and type computes. The same seed and sizes ' +
    'give the same weights in every form. At full size an F16 file takes 5.6 GB.',
  options: {
    output: {
      type: 'string',
      alias: 'o',
      doc: 'The file, or folder, to write (default: by its layers, width and type, in the current folder)',
      group: 'Output:',
    },
    force: { type: 'boolean', doc: 'Replace what is there already', group: 'Output:' },
    ...jsonFlag,
    type: { type: 'string', choices: SYNTH_TYPES, doc: 'Type of the file', default: 'f16', group: 'Model:' },
    layers: { type: 'integer', doc: 'Layers', default: 32, group: 'Model:' },
    embeddingSize: { type: 'integer', doc: 'Width, a multiple of 32', default: 2560, group: 'Model:' },
    heads: { type: 'integer', doc: 'Attention heads; they divide the width', default: 32, group: 'Model:' },
    feedForward: {
      type: 'integer',
      doc: 'Width between the two feed-forward matrices, a multiple of 32 (default: 4 times the width)',
      group: 'Model:',
    },
    seed: { type: 'integer', doc: 'Seed of the weights', default: 1, group: 'Model:' },
    vocabulary: {
      type: 'string',
      doc: 'A GGUF file or a checkpoint folder whose vocabulary is taken (default: Phi-2’s)',
      group: 'Model:',
    },
    checkpoint: {
      type: 'boolean',
      doc: 'Write a folder as on Hugging Face: config.json, tokenizer files, safetensors',
      group: 'Checkpoint:',
    },
    naming: {
      type: 'string',
      choices: NAMINGS,
      doc: 'Names of the weights: those of today, or of before January 2024',
      default: 'current',
      group: 'Checkpoint:',
    },
  },
  examples: [
    ['phi2 synth --type q4_k_m', 'full size: phi-2-random-32x2560-q4_k_m.gguf'],
    ['phi2 synth --layers 2 --embedding-size 320 --heads 4', 'a small one'],
    ['phi2 synth --checkpoint -o ./phi-2-random', 'something for phi2 convert'],
  ],
  async run({ values, words, context }) {
    if (words.length > 0) {
      throw new UsageError(`phi2 synth takes no argument, found ${words[0]}. The file to write is --output FILE.`)
    }
    const { output: to, force: overwrite = false, json = false, checkpoint = false, naming, type, ...model } = values
    const dtype = CHECKPOINT_TYPES.find((name) => name === (type ?? 'f16'))
    if (checkpoint && dtype === undefined) {
      throw new UsageError(`A checkpoint has the type ${CHECKPOINT_TYPES.join(', ')}; ${type} is one of GGUF files.`)
    }
    if (!checkpoint && naming !== undefined) {
      throw new UsageError('--naming is about checkpoints: give --checkpoint as well.')
    }
    const { synth, synthCheckpoint } = await import('../../gguf/index.js')
    const progress = new ProgressLine(context.stderr, 'writing')
    const onProgress = (fraction: number) => progress.update(fraction)
    const options = { ...model, to, overwrite, signal: context.signal, onProgress }
    try {
      const result = await (checkpoint ? synthCheckpoint({ ...options, dtype, naming }) : synth({ ...options, type }))
      progress.end()
      if (json) await writeJson(context.stdout, result)
      else {
        const { path, tensors, bytes } = result
        await write(context.stdout, `${path}: ${type ?? 'f16'}, ${tensors} tensors, ${formatBytes(bytes)}\n`)
      }
    } finally {
      progress.end()
    }
    return 0
  },
})
