import { randomUUID } from 'node:crypto'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { Phi2Error } from '../errors.js'
import type { SavedChat } from '../types.js'
import { codeOf } from './errors.js'

/**
 * Writes a saved chat beside its file and renames it, so that a full disk or a crash leaves the old file whole. A state is
 * named without its folder, so that both files can be moved together.
 * @throws {Phi2Error} `PHI2_IO`
 */
export async function writeChat(path: string, saved: SavedChat): Promise<void> {
  const target = expandHome(path)
  const beside = join(dirname(target), `.${basename(target)}.${randomUUID()}.tmp`)
  try {
    const file = await open(beside, 'wx')
    try {
      const { state } = saved
      const named = state === undefined ? saved : { ...saved, state: { ...state, file: basename(state.file) } }
      await file.writeFile(`${JSON.stringify(named, null, 2)}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(beside, target)
  } catch (cause) {
    await rm(beside, { force: true })
    throw new Phi2Error('PHI2_IO', `Cannot write ${path}: ${codeOf(cause) ?? String(cause)}.`, { cause })
  }
}

/** Where the KV cache of a chat is kept that is saved as `path`. */
export function stateFile(path: string): string {
  return `${expandHome(path)}.kv`
}

/**
 * Reads what {@link writeChat} wrote. Whether its parts are right is checked by `phi2.chat`. The file of a state is looked
 * for where the chat's is.
 * @throws {Phi2Error} `PHI2_IO`, `PHI2_INVALID_TRANSCRIPT` when it is not JSON
 */
export async function readChat(path: string): Promise<SavedChat> {
  let text: string
  try {
    text = await readFile(expandHome(path), 'utf8')
  } catch (cause) {
    throw new Phi2Error('PHI2_IO', `Cannot read ${path}: ${codeOf(cause) ?? String(cause)}.`, { cause })
  }
  const expected = 'Expected a chat saved with /save.'
  let saved: unknown
  try {
    saved = JSON.parse(text)
  } catch (cause) {
    throw new Phi2Error('PHI2_INVALID_TRANSCRIPT', `${path} is not JSON. ${expected}`, { cause })
  }
  // Without turns `phi2.chat` would take it for the options of a new chat.
  if (typeof saved !== 'object' || saved === null || !('turns' in saved)) {
    throw new Phi2Error('PHI2_INVALID_TRANSCRIPT', `${path} holds no turns. ${expected}`)
  }
  return withStateBeside(expandHome(path), saved as SavedChat)
}

function withStateBeside(path: string, saved: SavedChat): SavedChat {
  const file = saved.state?.file
  if (typeof file !== 'string') return saved
  return { ...saved, state: { ...saved.state!, file: resolve(dirname(path), file) } }
}

/** No shell expands `~/` in a name that was typed inside the program. */
function expandHome(path: string): string {
  return path.startsWith('~/') ? join(homedir(), path.slice(2)) : path
}
