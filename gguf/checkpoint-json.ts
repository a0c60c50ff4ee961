import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import { Phi2Error } from '../src/errors.js'

/** Phi-2's tokenizer.json takes 2 MB; large vocabularies take 20. */
const MAX_JSON_BYTES = 64 * 1024 * 1024

export type JsonObject = { readonly [key: string]: unknown }

/**
 * Reads a JSON object of a checkpoint, or undefined when there is no such file.
 * @throws {Phi2Error} `PHI2_INVALID_CHECKPOINT` when it is not a JSON object, is too large or cannot be read.
 */
export async function readJsonObject(path: string): Promise<JsonObject | undefined> {
  const text = await readText(path)
  return text === undefined ? undefined : parseJsonObject(text, basename(path))
}

/** @throws {Phi2Error} `PHI2_INVALID_CHECKPOINT` */
export function parseJsonObject(text: string, name: string): JsonObject {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new Phi2Error('PHI2_INVALID_CHECKPOINT', `${name} is not valid JSON: ${(cause as Error).message}`, { cause })
  }
  if (!isObject(value)) throw invalidCheckpoint(`${name} must hold a JSON object`)
  return value
}

/** Reads a text file of a checkpoint, or undefined when there is none. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    const file = await open(path, 'r')
    try {
      const { size } = await file.stat()
      if (size > MAX_JSON_BYTES) {
        throw invalidCheckpoint(
          `${basename(path)} has ${size} bytes; more than ${MAX_JSON_BYTES} is not a text of Phi-2`,
        )
      }
      return await file.readFile('utf8')
    } finally {
      await file.close()
    }
  } catch (cause) {
    if (cause instanceof Phi2Error) throw cause
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new Phi2Error('PHI2_INVALID_CHECKPOINT', `${path} cannot be read: ${(cause as Error).message}`, { cause })
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isIndex(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

export function invalidCheckpoint(message: string): Phi2Error {
  return new Phi2Error('PHI2_INVALID_CHECKPOINT', message)
}
