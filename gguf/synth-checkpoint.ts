import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { writeFolderAtomically } from './atomic-file.js'
import { type CheckpointFiles, configFiles, tokenizerFiles } from './checkpoint-files.js'
import { type CheckpointNaming, NAMINGS } from './checkpoint-naming.js'
import { checkBoolean, checkChoice, checkInteger, checkText, checkWork, type OptionNames } from './checks.js'
import { type FloatType, GGML_TYPES } from './format.js'
import { checkFreeSpace } from './free-space.js'
import { type RandomModel, type RandomModelOptions, type RandomTensor, randomModel } from './random-model.js'
import { type SafetensorsSource, writeShards } from './safetensors-write.js'
import { CHECKPOINT_TYPES } from './synth-types.js'
import { planTensors, REMOTE_CODE_NAMING } from './tensor-map.js'

export interface SynthCheckpointOptions extends RandomModelOptions {
  /** The folder to write; the folder around it must exist. @default its layers and width, as in `phi-2-random-32x2560` */
  to?: string | undefined
  /** Type of all weights. @default 'f16' */
  dtype?: FloatType | undefined
  /**
   * `'current'` is the form of Transformers since January 2024; `'remote-code'` the one before, whose config.json says
   * `phi-msft` and where query, key and value are one matrix. @default 'current'
   */
  naming?: CheckpointNaming | undefined
  /** Most bytes of weights in one safetensors file. @default 5,000,000,000 */
  shardBytes?: number | undefined
  /** Whether a checkpoint or an empty folder under `to` is replaced, once the new one is complete. @default false */
  overwrite?: boolean | undefined
  /** Aborting throws `signal.reason` and leaves nothing behind. */
  signal?: AbortSignal | undefined
  /** 0 to 1. */
  onProgress?: ((fraction: number) => void) | undefined
}

export interface SynthCheckpointResult {
  path: string
  /** The safetensors files in the folder. */
  files: string[]
  tensors: number
  parameters: number
  /** Size of the safetensors files. */
  bytes: number
}

/** What Transformers cuts checkpoints by, and Phi-2's own was. */
const SHARD_BYTES = 5_000_000_000

const OPTIONS: OptionNames<SynthCheckpointOptions> = {
  to: true,
  layers: true,
  embeddingSize: true,
  heads: true,
  feedForward: true,
  dtype: true,
  naming: true,
  shardBytes: true,
  seed: true,
  vocabulary: true,
  overwrite: true,
  signal: true,
  onProgress: true,
}

/**
 * Writes a Phi-2 checkpoint of any size with random weights, as on Hugging Face: config.json, the tokenizer's files and
 * safetensors. Its weights are those that `synth` writes with the same seed and sizes. The folder appears when it is
 * complete.
 *
 * @example
 * await synthCheckpoint({ to: './phi-2-random' })                           // full size: 5.6 GB in two files
 * await synthCheckpoint({ to: './small', layers: 2, embeddingSize: 320, heads: 4, naming: 'remote-code' })
 *
 * @throws {Phi2Error} `PHI2_NO_SPACE` or `PHI2_IO` when the folder cannot be written or is there already; those of
 * {@link readHeader} for `vocabulary`. A TypeError or RangeError with `PHI2_INVALID_OPTION` for wrong options.
 */
export async function synthCheckpoint(options: SynthCheckpointOptions): Promise<SynthCheckpointResult> {
  checkWork(options, OPTIONS)
  const { dtype = 'f16', naming = 'current', shardBytes = SHARD_BYTES, overwrite = false, signal, onProgress } = options
  if (options.to !== undefined) checkText('to', options.to)
  checkChoice('dtype', dtype, CHECKPOINT_TYPES)
  checkChoice('naming', naming, NAMINGS)
  checkBoolean('overwrite', overwrite)
  checkInteger('shardBytes', shardBytes, 1, Number.MAX_SAFE_INTEGER)
  signal?.throwIfAborted()
  const model = await randomModel(options)
  const to = options.to ?? model.name
  const tensors = checkpointTensors(model, dtype, naming)
  return writeFolderAtomically(
    to,
    async (folder) => {
      const size = model.parameters * GGML_TYPES[dtype].blockBytes
      await checkFreeSpace(dirname(to), size, `A random checkpoint of type ${dtype}`)
      await writeFiles(folder, configFiles(model.config, model.vocabulary, dtype, naming))
      await writeFiles(folder, tokenizerFiles(model.vocabulary))
      const { files, bytes } = await writeShards(folder, { tensors, shardBytes, signal, onProgress })
      return { path: to, files, tensors: tensors.length, parameters: model.parameters, bytes }
    },
    { replace: overwrite },
  )
}

async function writeFiles(folder: string, files: CheckpointFiles): Promise<void> {
  for (const [name, text] of files) await writeFile(join(folder, name), text)
}

/** @internal The tensors of a checkpoint in the order in which PyTorch lists them. */
export function checkpointTensors(model: RandomModel, dtype: FloatType, naming: CheckpointNaming): SafetensorsSource[] {
  const parts = new Map<string, RandomTensor[]>()
  for (const tensor of named(model, naming)) {
    parts.set(tensor.checkpointName, [...(parts.get(tensor.checkpointName) ?? []), tensor])
  }
  return Array.from(parts, ([name, stacked]) => {
    const [rows, ...row] = stacked[0]!.shape.toReversed()
    return {
      name,
      dtype: dtype.toUpperCase(),
      shape: [rows! * stacked.length, ...row],
      data: () => concatenate(stacked, dtype),
    }
  })
}

/** With their names in the checkpoint, in the order in which PyTorch lists them: it decides where shards are cut. */
function named({ config, tensors }: RandomModel, naming: CheckpointNaming): RandomTensor[] {
  if (naming === 'remote-code') {
    const names = planTensors(config, REMOTE_CODE_NAMING)
    return tensors.map((tensor, index) => ({ ...tensor, checkpointName: names[index]!.checkpointName }))
  }
  // in a layer of Transformers the norm comes last: its two tensors, of which GGUF files have 14 a layer, go behind 12
  const place = ({ name }: RandomTensor, index: number) =>
    name.includes('.attn_norm.') ? index + 12 : name.startsWith('blk.') ? index - 2 : index
  const ordered: RandomTensor[] = []
  for (const [index, tensor] of tensors.entries()) ordered[place(tensor, index)] = tensor
  return ordered
}

async function* concatenate(parts: readonly RandomTensor[], type: FloatType): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield* part.data(type)
}
