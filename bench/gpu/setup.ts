import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Set by scripts/gpu-check.sh: a rehearsal on a machine without a GPU, with small models. */
export const rehearsal = process.env.GPU_CHECK_CPU === '1'

/** Where models and results lie. */
export const WORK = process.env.GPU_CHECK_WORK ?? 'gpu-check'

export function modelPath(name: string): string {
  return join(WORK, 'models', `${name}.gguf`)
}

/** The part of the report that a stage has found. */
export function writePart(name: string, content: unknown): void {
  mkdirSync(join(WORK, 'results'), { recursive: true })
  writeFileSync(join(WORK, 'results', `${name}.json`), `${JSON.stringify(content, null, 2)}\n`)
}

export function readPart<T>(name: string): T | undefined {
  const path = join(WORK, 'results', `${name}.json`)
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as T) : undefined
}

export function say(text: string): void {
  process.stderr.write(`gpu-check: ${text}\n`)
}
