import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** What a native build cannot do without, as it is missing here; and the compiler to use. */
export interface Toolchain {
  missing: string[]
  /** Undefined leaves the choice to CMake (Windows, or none found). */
  compilers?: { cc: string; cxx: string }
}

// Clang first: it compiles the AMX kernels right without help and made the fastest engine of those measured.
const clangVersions = ['-22', '-21', '-20', '-19', '-18', '-17', '-16', '']
const oldestClang = 16

export function findToolchain(): Toolchain {
  const missing: string[] = []
  if (!onPath('cmake')) missing.push('cmake')
  if (!onPath('git')) missing.push('git')
  if (!onPath('tar')) missing.push('tar')
  if (process.platform === 'win32') return { missing }

  if (!onPath('ninja') && !onPath('make')) missing.push('make')
  const compilers = findCompilers()
  if (!compilers) missing.push('a C++17 compiler (g++ or clang++)')
  return compilers ? { missing, compilers } : { missing }
}

function findCompilers(): { cc: string; cxx: string } | undefined {
  const { CC, CXX } = process.env
  if (CC && CXX) return { cc: CC, cxx: CXX }
  for (const version of clangVersions) {
    const cc = `clang${version}`
    const cxx = `clang++${version}`
    if (onPath(cc) && onPath(cxx) && (version !== '' || clangMajor(cxx) >= oldestClang) && compiles(cxx))
      return { cc, cxx }
  }
  for (const [cc, cxx] of [
    ['gcc', 'g++'],
    ['cc', 'c++'],
    ['clang', 'clang++'],
  ] as const) {
    if (onPath(cc) && onPath(cxx)) return { cc, cxx }
  }
  return undefined
}

function clangMajor(cxx: string): number {
  const { stdout } = spawnSync(cxx, ['-dumpversion'], { encoding: 'utf8' })
  return Number.parseInt(stdout ?? '', 10) || 0
}

// A clang without a C++ standard library beside it is found on some systems; it is passed over.
function compiles(cxx: string): boolean {
  const check = spawnSync(cxx, ['-std=c++17', '-x', 'c++', '-fsyntax-only', '-'], {
    input: '#include <vector>\nint main() {}\n',
  })
  return check.status === 0
}

/** The command that installs what is missing, for the package manager found here. */
export function installHint(missing: readonly string[]): string {
  const packages = missing.map((name) => (name.startsWith('a C++17') ? 'g++' : name)).join(' ')
  if (process.platform === 'darwin')
    return `xcode-select --install && brew install ${packages.replace('g++', '').trim()}`
  if (process.platform === 'win32') return 'winget install Kitware.CMake Git.Git Microsoft.VisualStudio.2022.BuildTools'
  if (onPath('apt-get')) return `sudo apt-get install -y ${packages}`
  if (onPath('dnf')) return `sudo dnf install -y ${packages.replace('g++', 'gcc-c++')}`
  if (onPath('pacman')) return `sudo pacman -S --needed ${packages.replace('g++', 'gcc')}`
  if (onPath('apk')) return `apk add ${packages}`
  return `install: ${packages}`
}

export function onPath(command: string): boolean {
  const names = process.platform === 'win32' ? [`${command}.exe`, `${command}.cmd`] : [command]
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  return folders.some((folder) => names.some((name) => existsSync(join(folder, name))))
}
