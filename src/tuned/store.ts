import { readFileSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { checkTarget, writeAtomically } from '../../gguf/atomic-file.js'
import { cacheFolder } from '../models/cache.js'
import { formatProfiles, parseProfiles, putProfile, type TunedProfile } from './profile.js'

/** The one file for all profiles of this user: in the cache's folder, since it can be measured again. */
export function tunedPath(folder: string = cacheFolder()): string {
  return join(folder, 'tuned.json')
}

/** What is stored; nothing where there is no file, or none that can be read. Takes some microseconds then. */
export function readProfiles(path: string = tunedPath()): TunedProfile[] {
  try {
    return parseProfiles(readFileSync(path, 'utf8'))
  } catch {
    return []
  }
}

/** Before minutes of measuring: whether there is a place for what comes of it. @throws {Phi2Error} `PHI2_IO` */
export async function prepareStore(path: string = tunedPath()): Promise<void> {
  await mkdir(dirname(path), { recursive: true }).catch(() => {})
  await checkTarget(path, true, [])
}

/** @throws {Phi2Error} `PHI2_IO`, `PHI2_NO_SPACE` */
export async function storeProfile(profile: TunedProfile, path: string = tunedPath()): Promise<void> {
  await prepareStore(path)
  const text = formatProfiles(putProfile(readProfiles(path), profile))
  await writeAtomically(path, (temporaryPath) => writeFile(temporaryPath, text))
}

/** Forgets all of them; tells how many there were. */
export async function removeProfiles(path: string = tunedPath()): Promise<number> {
  const { length } = readProfiles(path)
  await rm(path, { force: true })
  return length
}
