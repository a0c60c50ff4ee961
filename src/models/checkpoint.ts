import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeAtomically } from '../../gguf/atomic-file.js'
import { invalidCheckpoint, isIndex, isObject, readJsonObject } from '../../gguf/checkpoint-json.js'
import { checkFreeSpace } from '../../gguf/free-space.js'
import { SOURCE_FILE } from '../../gguf/source.js'
import { diskBytes } from './cache.js'
import type { KnownFile } from './catalog.js'
import {
  type Checkpoint,
  type CheckpointFile,
  type CheckpointRecord,
  readRecord,
  summary,
} from './checkpoint-record.js'
import type { DownloadProgress } from './download.js'
import { fetchFile } from './fetch.js'
import { HttpError } from './http.js'
import { type Environment, formatRef, HUBS, type HubRef, hubEndpoint } from './hub.js'
import { type ListedFile, listModelScope } from './modelscope.js'

export interface CheckpointOptions {
  /** A whole repository. */
  ref: HubRef
  folder: string
  /** What is known of its files beforehand. */
  known: Readonly<Record<string, KnownFile>>
  /** Hashes of weights that are known to be the original ones. */
  weights: readonly string[]
  /** Compare the files that are there with their source. */
  force: boolean
  /** Room wanted beyond the checkpoint itself. */
  reserve: (checkpointBytes: number) => number
  environment: Environment
  signal?: AbortSignal | undefined
  /** `done` and `total` are of all files. */
  onProgress?: ((progress: DownloadProgress & { file: string }) => void) | undefined
}

const INDEX = 'model.safetensors.index.json'
const SINGLE = 'model.safetensors'

/**
 * What a conversion reads, and what ought to go with the weights. A fine-tune may lack any but the first; whether what
 * there is makes a checkpoint is for the conversion to say.
 */
const TEXT_FILES = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.json',
  'merges.txt',
  'added_tokens.json',
  'special_tokens_map.json',
  'README.md',
  'LICENSE',
  'NOTICE.md',
  INDEX,
] as const

/**
 * Downloads the checkpoint in a repository: the small files first, then the weights. Files that are there already stay. For
 * the holder of its lock.
 * @throws {Phi2Error} those of `download`; `PHI2_NO_SPACE` before the weights when there is no room for all that follows
 */
export async function pullCheckpoint(options: CheckpointOptions): Promise<Checkpoint> {
  const { folder, force, reserve } = options
  const record = force ? undefined : await readRecord(folder)
  if (record?.complete) {
    const there = summary(record, folder, true)
    await checkFreeSpace(folder, reserve(there.bytes), 'Converting')
    return there
  }
  return new CheckpointPull(options, record).run()
}

class CheckpointPull {
  readonly #options: CheckpointOptions
  readonly #kept: Readonly<Record<string, CheckpointFile>>
  readonly #files: Record<string, CheckpointFile> = {}
  /** Bytes of the files so far, and of all as far as is known. */
  #done = 0
  #total: number
  /** Once the hub has told the commit, all files are of that one, also those of a later time. */
  #ref: HubRef
  #listed: ReadonlyMap<string, ListedFile> | undefined

  constructor(options: CheckpointOptions, before: CheckpointRecord | undefined) {
    this.#options = options
    this.#kept = before?.files ?? {}
    this.#ref = { ...options.ref, ...(isCommit(before?.revision) && { revision: before.revision }) }
    this.#total = Object.values(options.known).reduce((sum, { bytes }) => sum + bytes, 0)
  }

  async run(): Promise<Checkpoint> {
    const { environment, folder, ref, reserve, signal } = this.#options
    if (ref.hub === 'modelscope') this.#listed = await listModelScope(ref, environment, signal)
    for (const name of TEXT_FILES) await this.#fetch(name, name !== 'config.json')

    const weights = await this.#weights()
    this.#total = Math.max(this.#total, this.#done + weights.bytes)
    let there = 0
    for (const name of weights.names)
      there += this.#kept[name]?.bytes ?? (await diskBytes(join(folder, `${name}.partial`)))
    await checkFreeSpace(folder, weights.bytes - there + reserve(weights.bytes), 'Pulling the checkpoint')
    for (const name of weights.names) await this.#fetch(name, false)
    return summary(await this.#record(true), folder, false)
  }

  /** The files of the weights, the smallest first as far as is known, and their size in all. */
  async #weights(): Promise<{ names: readonly string[]; bytes: number }> {
    const { folder, known, ref } = this.#options
    const size = (name: string) => this.#listed?.get(name)?.bytes ?? known[name]?.bytes ?? 0
    const index = await readJsonObject(join(folder, INDEX))
    if (index === undefined) return { names: [SINGLE], bytes: size(SINGLE) }
    const names = [...new Set(isObject(index.weight_map) ? Object.values(index.weight_map) : [])]
    if (names.length === 0 || !names.every(isShardName)) {
      throw invalidCheckpoint(
        `${INDEX} of ${ref.repository} does not name the files of the weights. Expected names such as model-00001-of-00002.safetensors.`,
      )
    }
    const total = isObject(index.metadata) ? index.metadata.total_size : 0
    const sum = names.reduce((bytes, name) => bytes + size(name), 0)
    return { names: names.sort((a, b) => size(a) - size(b)), bytes: Math.max(sum, isIndex(total) ? total : 0) }
  }

  async #fetch(name: string, optional: boolean): Promise<void> {
    const { environment, folder, known, signal, weights } = this.#options
    const kept = this.#kept[name]
    if (kept) return this.#finished(name, kept)
    if (optional && this.#listed && this.#listed.size > 0 && !this.#listed.has(name)) return
    const { bytes, exact, sha256 } = known[name] ?? {}
    try {
      const fetched = await fetchFile({
        ref: { ...this.#ref, path: name },
        to: join(folder, name),
        bytes: exact ? bytes : undefined,
        sha256,
        listed: this.#listed,
        environment,
        signal,
        onProgress: (progress) => this.#report(name, progress),
      })
      if (isCommit(fetched.revision)) this.#ref = { ...this.#ref, revision: fetched.revision }
      const verified = fetched.verified || weights.includes(fetched.sha256)
      this.#finished(name, { bytes: fetched.bytes, sha256: fetched.sha256, verified })
      await this.#record(false)
    } catch (error) {
      if (!(optional && error instanceof HttpError && error.status === 404)) throw error
    }
  }

  #finished(name: string, file: CheckpointFile): void {
    this.#files[name] = file
    this.#done += file.bytes
  }

  #report(file: string, progress: DownloadProgress): void {
    const { done, total = done } = progress
    this.#total = Math.max(this.#total, this.#done + total)
    this.#options.onProgress?.({ ...progress, file, done: this.#done + done, total: this.#total })
  }

  async #record(complete: boolean): Promise<CheckpointRecord> {
    const { environment, folder } = this.#options
    const { hub, repository, revision = HUBS[hub].mainBranch } = this.#ref
    const source: CheckpointRecord = {
      source: formatRef({ hub, repository, revision }),
      repository,
      revision,
      url: `${hubEndpoint(hub, environment)}/${hub === 'modelscope' ? 'models/' : ''}${repository}`,
      date: new Date().toISOString(),
      complete,
      files: { ...this.#kept, ...this.#files },
    }
    await writeAtomically(join(folder, SOURCE_FILE), (path) => writeFile(path, `${JSON.stringify(source, null, 2)}\n`))
    return source
  }
}

function isCommit(revision: string | undefined): revision is string {
  return /^[0-9a-f]{40}$/.test(revision ?? '')
}

/** A file beside the index, whatever the index says. */
function isShardName(name: unknown): name is string {
  return typeof name === 'string' && /^[\w-][\w.-]*\.safetensors$/.test(name)
}
