import { existsSync, readFileSync } from 'node:fs'
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

/**
 * The path as native code can open it: in a packed Electron app the file of an `app.asar` lies in `app.asar.unpacked`,
 * if the app's packer was told to leave it outside.
 */
export function realPath(path: string): string {
  return path.replace(/\.asar(?=[\\/])/, '.asar.unpacked')
}

/** The version in package.json. */
export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { version: string }
  return version
}
