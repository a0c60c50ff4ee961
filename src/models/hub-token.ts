import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Environment } from './hub.js'

/**
 * The user's token for Hugging Face, found where the hub's own tools look: `HF_TOKEN`, else the file that `hf auth login`
 * writes (`HF_TOKEN_PATH`, else `token` in `HF_HOME`). `HF_HUB_DISABLE_IMPLICIT_TOKEN` keeps it at home. Never to be
 * printed, stored, or put into an error.
 */
export function readHubToken(environment: Environment): string | undefined {
  if (/^(1|on|yes|true)$/i.test(environment.HF_HUB_DISABLE_IMPLICIT_TOKEN ?? '')) return undefined
  return sound(environment.HF_TOKEN) ?? sound(environment.HUGGING_FACE_HUB_TOKEN) ?? sound(readTokenFile(environment))
}

function readTokenFile(environment: Environment): string | undefined {
  const home = environment.HOME || homedir()
  const cache = environment.XDG_CACHE_HOME || join(home, '.cache')
  const given = environment.HF_TOKEN_PATH || join(environment.HF_HOME || join(cache, 'huggingface'), 'token')
  const path = given.replace(/^~(?=[/\\]|$)/, () => home)
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** Without the line break that files and shells leave; nothing that could not stand in a header. */
function sound(token: string | undefined): string | undefined {
  const text = token?.trim()
  return text && /^[\x21-\x7e]+$/.test(text) ? text : undefined
}
