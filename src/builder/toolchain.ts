import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { nvccPaths } from './cuda.js'

/** What a native build cannot do without, as it is missing here; and the compilers to use. */
export interface Toolchain {
  missing: Tool[]
  /** Undefined leaves the choice to CMake (Windows, or none found). */
  compilers?: { cc: string; cxx: string }
}

/** Backends of the engine that need tools of their own. */
export interface Accelerators {
  cuda?: boolean | undefined
  vulkan?: boolean | undefined
}

export type Tool = 'cmake' | 'git' | 'tar' | 'make' | 'compiler' | 'nvcc' | 'glslc'

const descriptions: Partial<Record<Tool, string>> = {
  compiler: 'a C++17 compiler (g++ or clang++)',
  nvcc: 'nvcc (of NVIDIA’s CUDA toolkit)',
  glslc: 'glslc (of the Vulkan SDK)',
}

type PackageManager = 'apt-get' | 'dnf' | 'pacman' | 'apk' | 'brew'

/** What packages of a tool are called where that is not the tool's own name. */
const packageNames: Record<PackageManager, Partial<Record<Tool, string>>> = {
  'apt-get': { compiler: 'g++', nvcc: 'nvidia-cuda-toolkit', glslc: 'glslc libvulkan-dev spirv-headers' },
  dnf: { compiler: 'gcc-c++', nvcc: 'cuda-toolkit', glslc: 'glslc vulkan-loader-devel spirv-headers-devel' },
  pacman: { compiler: 'gcc', nvcc: 'cuda', glslc: 'shaderc vulkan-headers vulkan-icd-loader spirv-headers' },
  apk: { compiler: 'g++', nvcc: 'cuda', glslc: 'shaderc vulkan-headers vulkan-loader-dev spirv-headers' },
  brew: { glslc: 'shaderc vulkan-headers vulkan-loader spirv-headers' },
}

// Clang first: it compiles the AMX kernels right without help and made the fastest engine of those measured.
const clangVersions = ['-22', '-21', '-20', '-19', '-18', '-17', '-16', '']
const oldestClang = 16

export function findToolchain({ cuda, vulkan }: Accelerators = {}): Toolchain {
  const needsClone = !process.env.LLAMA_CPP_DIR
  const missing: Tool[] = (['cmake', 'git', 'tar'] as const).filter(
    (tool) => !onPath(tool) && (tool !== 'git' || needsClone),
  )
  const windows = process.platform === 'win32'
  if (!windows && !onPath('ninja') && !onPath('make')) missing.push('make')
  const compilers = windows ? undefined : findCompilers()
  if (!windows && !compilers) missing.push('compiler')
  if (cuda && nvccPaths().length === 0) missing.push('nvcc')
  if (vulkan && !onPath('glslc', process.env.VULKAN_SDK)) missing.push('glslc')
  return { missing, ...(compilers && { compilers }) }
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

/** One sentence about what is missing, and the command that installs it with the package manager found here. */
export function describeMissing(missing: readonly Tool[], purpose = 'Building'): string {
  const names = missing.map((tool) => descriptions[tool] ?? tool).join(', ')
  return `${purpose} needs ${names}, not found here. Install with \`${installCommand(missing)}\`.`
}

function installCommand(missing: readonly Tool[]): string {
  if (process.platform === 'win32') {
    const gpu = [
      ...(missing.includes('nvcc') ? ['Nvidia.CUDA'] : []),
      ...(missing.includes('glslc') ? ['KhronosGroup.VulkanSDK'] : []),
    ]
    return ['winget install Kitware.CMake Git.Git Microsoft.VisualStudio.2022.BuildTools', ...gpu].join(' ')
  }
  if (process.platform === 'darwin') {
    const packages = packagesOf(
      'brew',
      missing.filter((tool) => tool !== 'compiler'),
    )
    return `xcode-select --install${packages === '' ? '' : ` && brew install ${packages}`}`
  }
  if (onPath('apt-get')) return `sudo apt-get install -y ${packagesOf('apt-get', missing)}`
  if (onPath('dnf')) return `sudo dnf install -y ${packagesOf('dnf', missing)}`
  if (onPath('pacman')) return `sudo pacman -S --needed ${packagesOf('pacman', missing)}`
  if (onPath('apk')) return `apk add ${packagesOf('apk', missing)}`
  return `install: ${packagesOf('apt-get', missing)}`
}

function packagesOf(manager: PackageManager, missing: readonly Tool[]): string {
  return missing.map((tool) => packageNames[manager][tool] ?? tool).join(' ')
}

/** @param sdk folder of a kit whose `bin` (`Bin` on Windows) is searched as well */
export function onPath(command: string, sdk?: string): boolean {
  return findOnPath(command, sdk) !== undefined
}

/** Path of a command. */
export function findOnPath(command: string, sdk?: string): string | undefined {
  const names = process.platform === 'win32' ? [`${command}.exe`, `${command}.cmd`] : [command]
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  if (sdk) folders.push(join(sdk, process.platform === 'win32' ? 'Bin' : 'bin'))
  return folders.flatMap((folder) => names.map((name) => join(folder, name))).find((path) => existsSync(path))
}
