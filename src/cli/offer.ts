import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { cacheFolder, DECLINED } from '../models/cache.js'
import { catalog, DEFAULT_MODEL, findModel } from '../models/catalog.js'
import type { PullResult } from '../models/pull.js'
import type { CliContext } from './command.js'
import { formatBytes, writeNote } from './output.js'

/**
 * Asks at a terminal whether the real Phi-2 shall be downloaded, and does it: gives the path of the file. Undefined when
 * nobody is there to be asked, or the answer is no, which is remembered in the cache.
 */
export async function offerModel(context: CliContext, pull: () => Promise<PullResult>): Promise<string | undefined> {
  const { env, stderr, stdin, stdout } = context
  const folder = cacheFolder(env)
  const atTerminal = stdin.isTTY === true && stdout.isTTY === true && stderr.isTTY === true
  if (!atTerminal || existsSync(join(folder, DECLINED))) return undefined
  const size = formatBytes(findModel(DEFAULT_MODEL)!.bytes)
  const question =
    `phi2: only a toy model is here so far. Download the real ${catalog.checkpoint.name} now? ` +
    `${size}, MIT licence, into ${folder} [y/n] `
  const answer = await askLine(context, question)
  if (/^\s*y(es)?\s*$/i.test(answer)) return (await pull()).path
  if (/^\s*n(o)?\s*$/i.test(answer)) await remember(folder, stderr)
  return undefined
}

/** What is typed, up to Enter; nothing at the end of the input. */
async function askLine({ signal, stderr, stdin }: CliContext, question: string): Promise<string> {
  // The terminal itself edits the line, and Ctrl-C is the process's as ever.
  const lines = createInterface({ input: stdin, output: stderr, terminal: false })
  try {
    return await new Promise<string>((resolve) => {
      lines.once('close', () => resolve(''))
      signal.addEventListener('abort', () => lines.close(), { once: true })
      lines.question(question, resolve)
    })
  } finally {
    lines.close()
    signal.throwIfAborted()
  }
}

async function remember(folder: string, stderr: CliContext['stderr']): Promise<void> {
  try {
    await mkdir(folder, { recursive: true })
    await writeFile(
      join(folder, DECLINED),
      'The offer to download Phi-2 was declined. Remove this file to be asked again.\n',
    )
    await writeNote(stderr, 'phi2: you will not be asked again.')
  } catch {
    // A folder that cannot be written: the question comes again the next time.
  }
}
