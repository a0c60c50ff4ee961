import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

let root: string | undefined

/** The folder of this package's package.json: the same from `src/` (through tsx) and from `dist/`. */
export function packageRoot(): string {
  if (root === undefined) {
    let folder = dirname(fileURLToPath(import.meta.url))
    while (!existsSync(join(folder, 'package.json'))) {
      const parent = dirname(folder)
      if (parent === folder) throw new Error('package.json of phi2 not found above its own sources')
      folder = parent
    }
    root = folder
  }
  return root
}
