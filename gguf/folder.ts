import { stat } from 'node:fs/promises'

/** False as well for what is not there or cannot be looked at. */
export async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false
}
