import { readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { isObject, readText } from './checkpoint-json.js'

/** Where a checkpoint comes from. */
export interface CheckpointSource {
  /** `microsoft/phi-2` */
  repository?: string | undefined
  /** The commit: 40 hexadecimal digits on Hugging Face. */
  revision?: string | undefined
  /** Address of the repository. @default that of `repository` on Hugging Face */
  url?: string | undefined
}

/** Written beside a checkpoint by `pull`. */
export const SOURCE_FILE = 'phi2-source.json'

const REPOSITORY = /^[\w.-]+\/[\w.-]+$/
const COMMIT = /^[0-9a-f]{40}$/

/**
 * What is known of a checkpoint's origin: by the file that `pull` leaves there, else by what Hugging Face's own tools
 * leave (`hf download --local-dir`, or their cache). It is a remark, not a need: anything unreadable counts as unknown.
 */
export async function readSource(folder: string): Promise<CheckpointSource> {
  return (await fromOwnFile(folder)) ?? fromCachePath(folder) ?? (await fromDownloadMetadata(folder)) ?? {}
}

async function fromOwnFile(folder: string): Promise<CheckpointSource | undefined> {
  const text = await readText(join(folder, SOURCE_FILE)).catch(() => undefined)
  const json = text === undefined ? undefined : parse(text)
  if (!isObject(json)) return undefined
  const field = (key: string, pattern: RegExp) => {
    const value = json[key]
    return typeof value === 'string' && pattern.test(value) ? { [key]: value } : {}
  }
  return { ...field('repository', REPOSITORY), ...field('revision', /^[\w.-]+$/), ...field('url', /^https?:\/\/\S+$/) }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** `…/models--microsoft--phi-2/snapshots/COMMIT` */
function fromCachePath(folder: string): CheckpointSource | undefined {
  const path = resolve(folder).replaceAll('\\', '/')
  const [, owner, name, revision] = /\/models--([\w.-]+?)--([\w.-]+)\/snapshots\/([0-9a-f]{40})$/.exec(path) ?? []
  return revision === undefined ? undefined : { repository: `${owner}/${name}`, revision }
}

/** `hf download --local-dir` notes for each file the commit, its ETag and the time, a line each. */
async function fromDownloadMetadata(folder: string): Promise<CheckpointSource | undefined> {
  const notes = join(folder, '.cache', 'huggingface', 'download')
  const names = await readdir(notes).catch(() => [])
  const weights = names.filter((name) => name === 'config.json.metadata' || name.endsWith('.safetensors.metadata'))
  const texts = await Promise.all(weights.map((name) => readText(join(notes, name)).catch(() => undefined)))
  const commits = new Set(texts.map((text) => text?.split(/\r?\n/)[0]?.trim()))
  const [revision] = commits
  // Files of different commits have no revision in common.
  return commits.size === 1 && revision !== undefined && COMMIT.test(revision) ? { revision } : undefined
}
