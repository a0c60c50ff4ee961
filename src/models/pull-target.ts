import { optionError, Phi2Error } from '../errors.js'
import { cacheFolder, namedModelPath, refPath } from './cache.js'
import { type Catalog, type CatalogSource, DEFAULT_MODEL, findModel, type KnownFile } from './catalog.js'
import { formatRef, type HubRef, isHubRef, parseRemoteRef, type RemoteRef } from './hub.js'
import { madeType, modelName } from './names.js'
import type { PullContext, PullOptions } from './pull.js'

/** One GGUF file, and where it can be had. */
export interface FileTarget {
  kind: 'file'
  /** What it is called in messages. */
  name: string
  /** Its place in the cache. */
  path: string
  sources: readonly FileSource[]
}

export interface FileSource {
  ref: RemoteRef
  bytes?: number | undefined
  sha256?: string | undefined
  license?: string | undefined
}

/** The checkpoint in a repository. */
export interface CheckpointTarget {
  kind: 'checkpoint'
  ref: HubRef
  /** Its place in the cache. */
  folder: string
  /** The place in the cache of a model that is made from it. */
  modelPath: (type: string) => string
  known: Readonly<Record<string, KnownFile>>
}

/**
 * What the options of a pull ask for.
 * @throws {Phi2Error} `PHI2_UNKNOWN_MODEL` for what is neither in the catalog nor a reference; an error with
 * `PHI2_INVALID_OPTION` when options contradict each other
 */
export function findTarget(options: PullOptions, context: PullContext): FileTarget | CheckpointTarget {
  const convert = options.convert === undefined ? undefined : madeType(options.convert)
  const { checkpoint } = context.catalog
  const text = options.model ?? (convert === undefined ? DEFAULT_MODEL : checkpoint.name)
  if (text.toLowerCase() === checkpoint.name) return cataloguedCheckpoint(options, context)
  const name = modelName(text)
  if (name !== undefined) return named(name, options, context)
  const ref = parseRemoteRef(text, context.environment)
  if (!ref) throw unknown(text, context.catalog)
  return referenced(ref, options, context)
}

function cataloguedCheckpoint({ from = 'huggingface' }: PullOptions, context: PullContext): CheckpointTarget {
  const { files, sources } = context.catalog.checkpoint
  const cache = cacheFolder(context.environment)
  return {
    kind: 'checkpoint',
    ref: sources[from],
    folder: refPath(sources[from], cache),
    modelPath: (type) => namedModelPath(type, cache),
    known: from === 'huggingface' ? files : {},
  }
}

function named(name: string, { convert, from }: PullOptions, context: PullContext): FileTarget {
  const { catalog, environment } = context
  if (convert !== undefined) throw fromFile(name, catalog)
  const model = findModel(name, catalog)
  const sources = model?.sources.filter(({ hub }) => hub === (from ?? 'huggingface')) ?? []
  if (sources.length > 0) {
    return { kind: 'file', name, path: namedModelPath(name, cacheFolder(environment)), sources: sources.map(known) }
  }
  const where = model && from === 'modelscope' ? ' on ModelScope' : ''
  const command = `phi2 pull --convert ${name}${from === undefined ? '' : ` --from ${from}`}`
  throw new Phi2Error(
    'PHI2_UNKNOWN_MODEL',
    `The catalog has no file of the type ${name}${where}. \`${command}\` makes it from ${catalog.checkpoint.name}.`,
  )
}

function known({ bytes, license, sha256, ...ref }: CatalogSource): FileSource {
  const { hub, path, repository, revision } = ref
  return { ref: { hub, repository, path, revision }, bytes, sha256, license }
}

function referenced(ref: RemoteRef, options: PullOptions, context: PullContext): FileTarget | CheckpointTarget {
  const { convert, from } = options
  const { catalog, environment } = context
  if (from !== undefined && !(isHubRef(ref) && ref.hub === from)) {
    throw optionError('range', `${formatRef(ref)} says itself where it is: leave out from, or the reference’s own hub`)
  }
  const cache = cacheFolder(environment)
  const path = refPath(ref, cache)
  if (!isHubRef(ref) || ref.path !== undefined) {
    if (convert !== undefined) throw fromFile(formatRef(ref), catalog)
    return { kind: 'file', name: formatRef(ref), path, sources: [catalogued(ref, catalog) ?? { ref }] }
  }
  const name = ref.repository.split('/')[1]!
  // Beside what is pulled from this repository by reference, so that it can be loaded by such a reference, too.
  const modelPath = (type: string) => refPath({ ...ref, path: `${name}-${type}.gguf` }, cache)
  const original = formatRef(ref) === formatRef(catalog.checkpoint.sources.huggingface)
  return { kind: 'checkpoint', ref, folder: path, modelPath, known: original ? catalog.checkpoint.files : {} }
}

/** What the catalog knows of a file that was asked for by its reference. */
function catalogued(ref: RemoteRef, { models }: Catalog): FileSource | undefined {
  const source = models.flatMap(({ sources }) => sources).find((one) => formatRef(one) === formatRef(ref))
  return source && { ...known(source), ref }
}

function fromFile(name: string, { checkpoint }: Catalog): Error {
  return optionError(
    'range',
    `Expected a checkpoint to convert but received ${name}, which is a GGUF file: leave it out for ${checkpoint.name}, or name a repository as hf:org/name`,
  )
}

function unknown(text: string, { checkpoint, models }: Catalog): Phi2Error {
  const names = models.map(({ name }) => name).join(', ')
  if (text.toLowerCase() === 'tiny') {
    return new Phi2Error('PHI2_UNKNOWN_MODEL', `tiny is part of this package. The catalog has ${names}.`)
  }
  return new Phi2Error(
    'PHI2_UNKNOWN_MODEL',
    `Nothing called ${JSON.stringify(text)} is in the catalog. It has ${names}, and ${checkpoint.name}; anything else is named as hf:org/name/file.gguf, modelscope:org/name/file.gguf or by its URL.`,
  )
}
