import { statSync } from 'node:fs'
import { join } from 'node:path'
import { Phi2Error } from '../errors.js'
import { packageRoot, realPath } from '../package-root.js'
import { cacheFolder, namedModelPath, refPath } from './cache.js'
import { catalog, findModel, PREFERENCE } from './catalog.js'
import { type Environment, formatRef, isHubRef, parseRemoteRef, type RemoteRef } from './hub.js'
import { MODEL_NAMES, modelName } from './names.js'

export interface ResolvedModel {
  path: string
  bytes: number
  /** The embedded phi-2-tiny. */
  embedded: boolean
}

/** A model that has a reference and is not in the cache yet. */
export interface RemoteModel {
  /** As given, for `pull`. */
  reference: string
  /** Where a pull puts it. */
  path: string
}

/** Where the embedded model lies, in a checkout and in the installed package alike. */
export function tinyModelPath(): string {
  return realPath(join(packageRoot(), 'gguf', 'tiny', 'phi-2-tiny-q8_0.gguf'))
}

/**
 * Which file to load: what was given, else the environment's `PHI2_MODEL`, else the best Phi-2 in the cache, else the
 * embedded model. Given can be a name of a type (`q4_k_m`: from the cache), `tiny`, a reference (`hf:…`, `modelscope:…`,
 * `https:…`) or a path. A name goes before a file of the same name in the current folder: that one is `./q4_k_m`.
 *
 * @throws {Phi2Error} `PHI2_MODEL_NOT_FOUND` when it is not there, `PHI2_UNKNOWN_MODEL` for what can be none of these.
 */
export function resolveModel(
  model: string | undefined,
  environment: Environment = process.env,
): ResolvedModel | RemoteModel {
  if (model !== undefined) return resolveWanted(model, environment)
  if (!environment.PHI2_MODEL) return cachedDefault(environment) ?? embedded()
  try {
    return resolveWanted(environment.PHI2_MODEL, environment)
  } catch (error) {
    if (!(error instanceof Phi2Error)) throw error
    throw new Phi2Error(error.code, `${error.message} (PHI2_MODEL says so.)`)
  }
}

function resolveWanted(wanted: string, environment: Environment): ResolvedModel | RemoteModel {
  if (wanted.toLowerCase() === 'tiny') return embedded()
  const name = modelName(wanted)
  if (name !== undefined) return resolveName(name, environment)
  const ref = parseRemoteRef(wanted, environment)
  return ref ? resolveRef(wanted, ref, environment) : resolvePath(wanted)
}

function embedded(): ResolvedModel {
  const path = tinyModelPath()
  return find(path) ?? fail('PHI2_MODEL_NOT_FOUND', `The embedded model is missing: no file at ${path}.`)
}

function cachedDefault(environment: Environment): ResolvedModel | undefined {
  const folder = cacheFolder(environment)
  for (const name of PREFERENCE) {
    const found = find(namedModelPath(name, folder))
    if (found) return found
  }
  return undefined
}

function resolveName(name: string, environment: Environment): ResolvedModel {
  const folder = cacheFolder(environment)
  return (
    find(namedModelPath(name, folder)) ??
    fail('PHI2_MODEL_NOT_FOUND', `${name} is not in the cache (${folder}). ${howToGet(name)}`)
  )
}

/** The command that brings a model, and what it costs. */
export function howToGet(name: string): string {
  const known = findModel(name)
  const { bytes, name: checkpoint } = catalog.checkpoint
  if (known) return `\`phi2 pull ${name}\` downloads it (${gigabytes(known.bytes)}).`
  return (
    `\`phi2 pull --convert ${name}\` makes it from ${checkpoint} (a download of ${gigabytes(bytes)}): ` +
    'no file of this type is in the catalog.'
  )
}

function resolveRef(reference: string, ref: RemoteRef, environment: Environment): ResolvedModel | RemoteModel {
  if (isHubRef(ref) && ref.path === undefined) throw wholeRepository(formatRef(ref))
  const path = refPath(ref, cacheFolder(environment))
  return find(path) ?? { reference, path }
}

function resolvePath(path: string): ResolvedModel {
  const found = find(path)
  if (found) return found
  if (path.toLowerCase() === catalog.checkpoint.name) throw wholeRepository(catalog.checkpoint.name)
  if (/^[\w-]+$/.test(path)) {
    const plain = (text: string) => text.toLowerCase().replace(/[_-]/g, '')
    const meant = MODEL_NAMES.find((name) => plain(name) === plain(path))
    const hint = meant ? `Did you mean ${meant}?` : `The names are tiny, ${MODEL_NAMES.join(', ')}.`
    throw new Phi2Error('PHI2_UNKNOWN_MODEL', `${path} is neither the name of a model nor a file. ${hint}`)
  }
  throw new Phi2Error(
    'PHI2_MODEL_NOT_FOUND',
    `No model file at ${path}. Expected the path of a Phi-2 GGUF file, a name such as q4_k_m, a reference such as ` +
      "hf:org/name/file.gguf, or 'tiny' for the embedded model.",
  )
}

function wholeRepository(name: string): Phi2Error {
  return new Phi2Error(
    'PHI2_UNKNOWN_MODEL',
    `${name} is a whole repository; a model is one GGUF file. \`phi2 pull ${name} --convert q4_k_m\` makes one of it.`,
  )
}

function find(path: string): ResolvedModel | undefined {
  try {
    return { path, bytes: statSync(path).size, embedded: path === tinyModelPath() }
  } catch {
    // not there, or nothing to be read: a cache that cannot be entered has no models
    return undefined
  }
}

function fail(code: 'PHI2_MODEL_NOT_FOUND', message: string): never {
  throw new Phi2Error(code, message)
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`
}
