import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * CMake keeps the compiler and options of its first run; a build with others starts over. So do its products, among which
 * a backend might lie that is not built any more.
 * @param products folder of the products, in `folder`
 */
export function forgetOtherConfiguration(folder: string, command: readonly string[], products?: string): void {
  const stamp = join(folder, '.phi2-configuration')
  const wanted = command.join('\n')
  if (existsSync(join(folder, 'CMakeCache.txt')) && (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted)) {
    const stale = ['CMakeCache.txt', 'CMakeFiles', ...(products === undefined ? [] : [products])]
    for (const name of stale) rmSync(join(folder, name), { recursive: true, force: true })
  }
  mkdirSync(folder, { recursive: true })
  writeFileSync(stamp, wanted)
}
