import { checkBoolean, checkChoice, checkText, checkWork, type OptionNames } from '../../gguf/checks.js'
import { type Catalog, catalog } from './catalog.js'
import { type Environment, HUB_NAMES, type Hub } from './hub.js'
import type { MadeType } from './names.js'
import { findTarget } from './pull-target.js'

export interface PullOptions {
  /**
   * A name from the catalog (`'q4_k_m'`, or `'microsoft/phi-2'` for the original checkpoint), or a reference:
   * `hf:org/name/file.gguf@revision`, `modelscope:…`, a URL. A reference without a file means the checkpoint in that
   * repository.
   * @default 'q4_k_m', with `convert` 'microsoft/phi-2'
   */
  model?: string | undefined
  /** The hub to take it from, where the catalog has it on several. @default 'huggingface' */
  from?: Hub | undefined
  /** Where to put it: a file or a folder; for a checkpoint that is not converted, its folder. @default the cache */
  to?: string | undefined
  /** Pull a checkpoint and make a GGUF file of this type from it. Capitals do not matter. */
  convert?: MadeType | Uppercase<MadeType> | undefined
  /** With `convert`: leave the checkpoint in the cache, so that another type needs no download. @default true */
  keepCheckpoint?: boolean | undefined
  /** Compare what is there already with the source, and pull it again where it differs. @default false */
  force?: boolean | undefined
  /** Aborting rejects with `signal.reason`; what was downloaded stays and is resumed. */
  signal?: AbortSignal | undefined
  onProgress?: ((progress: PullProgress) => void) | undefined
}

export interface PullProgress {
  /**
   * `retry` while the server is given time; `wait` while another process pulls the same; `verify` while nothing but
   * the hash is left.
   */
  step: 'download' | 'retry' | 'wait' | 'verify' | 'convert' | 'quantize'
  /** Name of the file that is worked on. */
  file: string
  /** Bytes of this step so far, of a checkpoint those of all files. */
  done: number
  /** Undefined while nobody knows it. */
  total: number | undefined
  /** 0 where it is not known. */
  bytesPerSecond: number
}

export interface PullResult {
  /** The file; of a checkpoint the folder. */
  path: string
  bytes: number
  /** Undefined for a checkpoint, whose hashes are in its phi2-source.json. */
  sha256: string | undefined
  /** The sha256 agrees with the catalog's or the hub's. Of a file that was made: all weights it was made from do. */
  verified: boolean
  /** As it would be pulled again: `hf:org/name/file@revision`. */
  source: string
  /** As far as known, an SPDX id. */
  license: string | undefined
  /** It was there already. */
  cached: boolean
}

const OPTIONS: OptionNames<PullOptions> = {
  model: true,
  from: true,
  to: true,
  convert: true,
  keepCheckpoint: true,
  force: true,
  signal: true,
  onProgress: true,
}

/**
 * Downloads a Phi-2 model into the cache, where `Phi2.load({ model: name })` finds it, or the original checkpoint, which
 * `convert` turns into a GGUF file of any type. Cut downloads are resumed; files are verified by their sha256.
 *
 * `HF_TOKEN`, `HF_ENDPOINT` and the proxy variables are honoured.
 *
 * @example
 * const { path } = await pull({ model: 'q4_k_m' })
 * await pull({ convert: 'q5_k_m', from: 'modelscope' })
 *
 * @throws {Phi2Error} `PHI2_UNKNOWN_MODEL`, `PHI2_DOWNLOAD_FAILED`, `PHI2_ACCESS_DENIED`, `PHI2_CHECKSUM_MISMATCH`,
 * `PHI2_NO_SPACE`, `PHI2_IO`; with `convert` also those of `convert` and `quantize`. A TypeError or RangeError with
 * `PHI2_INVALID_OPTION` for wrong options.
 */
export async function pull(options: PullOptions = {}): Promise<PullResult> {
  return pullFrom(options, { catalog, environment: process.env })
}

/** @internal */
export interface PullContext {
  catalog: Catalog
  environment: Environment
}

/** @internal {@link pull} with a catalog and an environment of the caller's. */
export async function pullFrom(options: PullOptions, context: PullContext): Promise<PullResult> {
  checkOptions(options)
  options.signal?.throwIfAborted()
  const target = findTarget(options, context)
  // The HTTP client takes a tenth of a second to load: only who downloads waits for it.
  if (target.kind === 'file') return (await import('./pull-file.js')).pullFile(target, options, context)
  return (await import('./pull-checkpoint.js')).pullCheckpointTarget(target, options, context)
}

function checkOptions(options: PullOptions): void {
  checkWork(options, OPTIONS)
  const { force, from, keepCheckpoint, model, to } = options
  if (model !== undefined) checkText('model', model)
  if (to !== undefined) checkText('to', to)
  if (from !== undefined) checkChoice('from', from, HUB_NAMES)
  if (force !== undefined) checkBoolean('force', force)
  if (keepCheckpoint !== undefined) checkBoolean('keepCheckpoint', keepCheckpoint)
}
