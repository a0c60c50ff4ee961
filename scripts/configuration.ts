import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** CMake keeps the compiler and options of its first run; a build with others starts over. */
export function forgetOtherConfiguration(folder: string, command: readonly string[]): void {
  const stamp = join(folder, '.phi2-configuration')
  const wanted = command.join('\n')
  if (existsSync(join(folder, 'CMakeCache.txt')) && (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted)) {
    for (const name of ['CMakeCache.txt', 'CMakeFiles']) rmSync(join(folder, name), { recursive: true, force: true })
  }
  mkdirSync(folder, { recursive: true })
  writeFileSync(stamp, wanted)
}
