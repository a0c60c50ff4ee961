import { statSync } from 'node:fs'
import { join } from 'node:path'
import { Phi2Error } from '../errors.js'
import { packageRoot, realPath } from '../package-root.js'

export interface ResolvedModel {
  path: string
  bytes: number
  /** The embedded phi-2-tiny. */
  embedded: boolean
}

/** Where the embedded model lies, in a checkout and in the installed package alike. */
export function tinyModelPath(): string {
  return realPath(join(packageRoot(), 'gguf', 'tiny', 'phi-2-tiny-q8_0.gguf'))
}

/**
 * Which file to load: what was given, else the environment's `PHI2_MODEL`, else the embedded model.
 * @throws {Phi2Error} `PHI2_MODEL_NOT_FOUND` when there is no such file.
 */
export function resolveModel(model: string | undefined, environment: NodeJS.ProcessEnv = process.env): ResolvedModel {
  const wanted = model ?? (environment.PHI2_MODEL || 'tiny')
  const path = wanted === 'tiny' ? tinyModelPath() : wanted
  const file = statSync(path, { throwIfNoEntry: false })
  if (!file) {
    throw new Phi2Error(
      'PHI2_MODEL_NOT_FOUND',
      `No model file at ${path}. Expected the path of a Phi-2 GGUF file, or 'tiny' for the embedded model${model === undefined && wanted !== 'tiny' ? ' (the path comes from PHI2_MODEL)' : ''}.`,
    )
  }
  return { path, bytes: file.size, embedded: path === tinyModelPath() }
}
