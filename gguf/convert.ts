import { readdir } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { checkTarget } from './atomic-file.js'
import { invalidCheckpoint } from './checkpoint-json.js'
import { checkBoolean, checkChoice, checkText, checkWork, type OptionNames } from './checks.js'
import { isFolder } from './folder.js'
import { elementCount } from './format.js'
import { readGeneralInfo } from './general-info.js'
import { modelMetadata, tokenizerMetadata } from './metadata.js'
import { readModelConfig } from './model-config.js'
import { OUT_TYPES, type OutType } from './out-types.js'
import { openSafetensors } from './safetensors.js'
import { type CheckpointSource, readSource } from './source.js'
import { fuseQkv, type MatchedTensor, type MatrixType, matchTensors, tensorType } from './tensor-map.js'
import { readTokenizerFiles } from './tokenizer-files.js'
import { storedType, weightData } from './weights.js'
import { writeGguf } from './write.js'

export interface ConvertOptions {
  /** Folder of a Phi-2 checkpoint: config.json, tokenizer files and safetensors, as on Hugging Face. */
  from: string
  /**
   * The GGUF file to write; its folder must exist.
   * @default the name of the checkpoint and the type, as in `phi-2-f16.gguf`, in the current folder
   */
  to?: string | undefined
  /**
   * Type of the matrices; vectors stay F32. `'auto'` is the 16-bit type that the checkpoint has, and F16 for one in F32.
   * @default 'auto'
   */
  outtype?: OutType | undefined
  /**
   * Query, key and value of a layer in one tensor: 325 tensors instead of 453, the same answers. Files of before 2024 have
   * it so.
   * @default false
   */
  fuseQkv?: boolean | undefined
  /** Read the file back and compare every byte before it gets its name: about double the time. @default false */
  verify?: boolean | undefined
  /** Whether an older file under `to` is replaced, once the new one is complete. @default true */
  overwrite?: boolean | undefined
  /** `general.name`. @default what the model card, config.json or the name of the folder says */
  name?: string | undefined
  /** `general.license`, an SPDX id in lower case such as `mit`. @default what README.md in the folder says */
  license?: string | undefined
  /**
   * Where the checkpoint comes from, for `general.source.repo_url` and `general.source.revision`.
   * @default what the tool that downloaded the folder has noted there
   */
  source?: CheckpointSource | undefined
  /** Aborting throws `signal.reason` and leaves nothing behind. */
  signal?: AbortSignal | undefined
  /** 0 to 1; with `verify`, reading back is the second half. */
  onProgress?: ((fraction: number) => void) | undefined
}

export interface ConvertResult {
  path: string
  /** What `'auto'` came to. */
  outtype: Exclude<OutType, 'auto'>
  /** Count of tensors: 453 for Phi-2, or 325 with `fuseQkv`. */
  tensors: number
  /** Count of weights: 2,779,683,840 for Phi-2. */
  parameters: number
  /** Size of the file. */
  bytes: number
}

const OPTIONS: OptionNames<ConvertOptions> = {
  from: true,
  to: true,
  outtype: true,
  fuseQkv: true,
  verify: true,
  overwrite: true,
  name: true,
  license: true,
  source: true,
  signal: true,
  onProgress: true,
}

/**
 * Converts a Phi-2 checkpoint in safetensors format to a GGUF file. Weights stream through: a few tens of megabytes of
 * memory are enough for any size, and other work of the process waits a millisecond at most. Keys, names and types are
 * those of llama.cpp's own converter. Checkpoints of before January 2024, whose tensors and configuration have other
 * names, give the same file.
 *
 * @example
 * await convert({ from: './phi-2', to: './phi-2-f16.gguf', outtype: 'f16' })
 *
 * @throws {Phi2Error} `PHI2_INVALID_CHECKPOINT` when the folder is no complete checkpoint or a weight does not fit into
 * the type, `PHI2_NOT_PHI2` for another architecture, `PHI2_NO_SPACE` when the disk is too full, `PHI2_IO` when the file
 * cannot be written, is there already (`overwrite: false`) or is not the same when read back (`verify`). A TypeError or
 * RangeError with `PHI2_INVALID_OPTION` for wrong options.
 */
export async function convert(options: ConvertOptions): Promise<ConvertResult> {
  checkWork(options, OPTIONS)
  const { from, outtype = 'auto', fuseQkv = false, verify = false, overwrite = true, signal, onProgress } = options
  checkText('from', from)
  const { repository, revision, url } = options.source ?? {}
  const texts = { to: options.to, name: options.name, license: options.license, repository, revision, url }
  for (const [name, text] of Object.entries(texts)) if (text !== undefined) checkText(name, text)
  checkChoice('outtype', outtype, OUT_TYPES)
  checkBoolean('fuseQkv', fuseQkv)
  checkBoolean('verify', verify)
  checkBoolean('overwrite', overwrite)
  signal?.throwIfAborted()

  const { config, tokenizer, tensors, info } = await readCheckpoint(options)
  const type = outtype === 'auto' ? autoType(tensors) : outtype
  const path = options.to ?? `${await stemOf(from, options.source)}-${type}.gguf`
  await checkTarget(path, overwrite, await filesOf(from))
  const metadata = new Map([...modelMetadata(config, { ...info, fileType: type }), ...tokenizer])
  const data = tensors.map((tensor) => {
    const stored = tensorType(type, tensor)
    return { name: tensor.name, type: stored, shape: tensor.shape, data: () => weightData(tensor, stored) }
  })
  const bytes = await writeGguf(path, { metadata, tensors: data, verify, signal, onProgress })
  return { path, outtype: type, tensors: tensors.length, parameters: info.parameters, bytes }
}

async function readCheckpoint({ from, name, license, source, fuseQkv: fused }: ConvertOptions) {
  if (!(await isFolder(from))) {
    throw invalidCheckpoint(`There is no folder ${from}. Expected the folder of a Phi-2 checkpoint as on Hugging Face.`)
  }
  const config = await readModelConfig(from)
  // first the tensors: that they are all there bounds the sizes that config.json claims
  const separate = matchTensors(config, await openSafetensors(from))
  const tokenizer = tokenizerMetadata(await readTokenizerFiles(from), config)
  const parameters = separate.reduce((sum, { shape }) => sum + elementCount(shape), 0)
  const info = await readGeneralInfo(from, { config: config.json, parameters, name, license, source })
  return { config, tokenizer, tensors: fused ? fuseQkv(separate) : separate, info }
}

/** All that belongs to a checkpoint; a GGUF file beside it is an older result. */
async function filesOf(folder: string): Promise<string[]> {
  const names = await readdir(folder)
  return names.filter((name) => !name.endsWith('.gguf')).map((name) => join(folder, name))
}

/** By the tensors, as config.json's `torch_dtype` is not to be relied on: that of the first matrix in 16 bits. */
function autoType(tensors: readonly MatchedTensor[]): MatrixType {
  const matrices = tensors.filter(({ shape }) => shape.length > 1).flatMap(({ sources }) => sources)
  return matrices.map(storedType).find((type) => type !== 'f32') ?? 'f16'
}

/** In Hugging Face's cache a folder has the name of its commit. */
async function stemOf(from: string, given: CheckpointSource | undefined): Promise<string> {
  const name = basename(resolve(from))
  if (!/^[0-9a-f]{40}$/.test(name)) return name
  const { repository } = given ?? (await readSource(from))
  return repository?.split('/')[1] ?? name
}
