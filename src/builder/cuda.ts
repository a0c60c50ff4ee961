import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { libraryFolders, toolkitRoots } from '../gpu/places.js'
import { buildError, firstError } from './run.js'
import { findOnPath } from './toolchain.js'

/** The CUDA toolkit that a build uses, and how CMake is told of it. */
export interface Cuda {
  nvcc: string
  /** Such as `11.8`. */
  version: string
  definitions: string[]
  environment: NodeJS.ProcessEnv
}

/**
 * Finds a toolkit with cuBLAS and a host compiler that its nvcc accepts. CUDACXX, CUDAHOSTCXX, CUDAToolkit_ROOT and
 * CMAKE_CUDA_ARCHITECTURES (or CUDAARCHS) decide where they are set.
 * @param options.portable for every GPU that llama.cpp knows, instead of those in this machine
 * @throws {Phi2Error} `PHI2_BUILD_FAILED` naming what is missing and how to get it.
 */
export function findCuda({ portable = false }: { portable?: boolean | undefined } = {}): Cuda {
  const compilers = nvccPaths()
  const toolkit = compilers.map(toolkitOf).find(({ cublas }) => cublas !== undefined)
  if (!toolkit?.cublas) {
    throw buildError(
      `Expected cuBLAS beside ${compilers.join(' or ')}, but there is no cublas_v2.h. Install it with the toolkit ` +
        '(NVIDIA’s package `libcublas-dev`, or `pip install nvidia-cublas`), or name another toolkit in CUDAToolkit_ROOT.',
    )
  }
  const { cublas, nvcc, root, version } = toolkit
  // Of two toolkits on the PATH, nvcc must find its own ptxas first: Debian has it elsewhere than nvcc itself.
  const path = [dirname(realpathSync(nvcc)), join(root, 'bin'), process.env.PATH].filter(Boolean).join(delimiter)
  const environment: NodeJS.ProcessEnv = { ...process.env, PATH: path }
  if (cublas.include) environment.CPATH = [cublas.include, process.env.CPATH].filter(Boolean).join(delimiter)
  const host = process.platform === 'win32' ? undefined : hostCompiler(toolkit, environment)
  const { CMAKE_CUDA_ARCHITECTURES, CUDAARCHS } = process.env
  const architectures = CMAKE_CUDA_ARCHITECTURES || CUDAARCHS || (portable ? '' : presentArchitectures())
  return {
    nvcc,
    version,
    environment,
    definitions: [
      `CMAKE_CUDA_COMPILER=${nvcc}`,
      `CUDAToolkit_ROOT=${root}`,
      ...(host === undefined ? [] : [`CMAKE_CUDA_HOST_COMPILER=${host}`]),
      ...(architectures ? [`CMAKE_CUDA_ARCHITECTURES=${architectures}`] : []),
      ...cublas.definitions,
      ...driverDefinitions(root),
    ],
  }
}

/** Every nvcc, in the order in which they are tried: CUDACXX alone if it is set. */
export function nvccPaths(): string[] {
  const name = process.platform === 'win32' ? 'nvcc.exe' : 'nvcc'
  const { CUDACXX, CUDAToolkit_ROOT, PATH = '' } = process.env
  if (CUDACXX) return [CUDACXX]
  const folders = PATH.split(delimiter).filter((folder) => folder !== '')
  const roots = toolkitRoots().map((root) => join(root, 'bin'))
  const places = CUDAToolkit_ROOT ? [join(CUDAToolkit_ROOT, 'bin'), ...folders, ...roots] : [...folders, ...roots]
  const found = places.map((folder) => join(folder, name)).filter(existsSync)
  const seen = new Set<string>()
  // The same one by another name is none.
  return found.filter((path) => !seen.has(realpathSync(path)) && seen.add(realpathSync(path)))
}

interface Toolkit {
  nvcc: string
  root: string
  version: string
  cublas: { include?: string; definitions: string[] } | undefined
}

function toolkitOf(nvcc: string): Toolkit {
  const { stdout } = spawnSync(nvcc, ['--version'], { encoding: 'utf8' })
  const version = /release (\d+\.\d+)/.exec(stdout ?? '')?.[1] ?? 'unknown'
  const home = dirname(dirname(realpathSync(nvcc)))
  // Debian's toolkit is spread over /usr.
  const root = home.endsWith('/nvidia-cuda-toolkit') ? '/usr' : home
  return { nvcc, root, version, cublas: findCublas(root, version) }
}

/** In the toolkit, or as pip installs it, where CMake would not look. */
function findCublas(root: string, version: string): Toolkit['cublas'] {
  const includes = ['include', ...machinesOf(root).map((machine) => `targets/${machine}/include`)]
  if (includes.some((folder) => existsSync(join(root, folder, 'cublas_v2.h')))) return { definitions: [] }
  if (process.platform !== 'linux') return undefined
  for (const folder of libraryFolders()) {
    const library = (name: string) => join(folder, `lib${name}.so.${version.split('.')[0]}`)
    const include = join(dirname(folder), 'include')
    if (!existsSync(library('cublas')) || !existsSync(join(include, 'cublas_v2.h'))) continue
    const definitions = ['cublas', 'cublasLt'].map((name) => `CUDA_${name}_LIBRARY=${library(name)}`)
    return { include, definitions }
  }
  return undefined
}

/** What is linked in place of the driver: toolkits bring a stub, NVIDIA's packages for Python do not, but the driver itself will do. */
function driverDefinitions(root: string): string[] {
  if (process.platform !== 'linux') return []
  const libraries = ['lib64', 'lib', `lib/${MULTIARCH}`, ...machinesOf(root).map((machine) => `targets/${machine}/lib`)]
  if (libraries.some((folder) => existsSync(join(root, folder, 'stubs', 'libcuda.so')))) return []
  const candidates = libraryFolders().flatMap((folder) => [join(folder, 'libcuda.so'), join(folder, 'libcuda.so.1')])
  const driver = candidates.find((path) => existsSync(path))
  return driver === undefined ? [] : [`CUDA_cuda_driver_LIBRARY=${driver}`]
}

const MULTIARCH = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu'

function machinesOf(root: string): string[] {
  const targets = join(root, 'targets')
  return existsSync(targets) ? readdirSync(targets) : []
}

/** Each nvcc accepts the host compilers up to the version of its day: the first that compiles is taken. */
function hostCompiler({ nvcc, version }: Toolkit, environment: NodeJS.ProcessEnv): string | undefined {
  if (process.env.CUDAHOSTCXX) return process.env.CUDAHOSTCXX
  const numbered = Array.from({ length: 12 }, (_, i) => `g++-${20 - i}`)
  // By their paths: nvcc, which has folders of its own, may find others by the name than CMake does.
  const candidates = ['g++', ...numbered].flatMap((name) => findOnPath(name) ?? [])
  const folder = mkdtempSync(join(tmpdir(), 'phi2-cuda-'))
  let reason = ''
  try {
    const source = join(folder, 'probe.cu')
    writeFileSync(source, '#include <cublas_v2.h>\n#include <vector>\n__global__ void probe() {}\n')
    for (const candidate of candidates) {
      const args = ['-ccbin', candidate, '-std=c++17', '-c', source, '-o', join(folder, 'probe.o')]
      const { status, stderr, error } = spawnSync(nvcc, args, { encoding: 'utf8', env: environment })
      if (status === 0) return candidate
      reason ||= `${candidate}: ${(error?.message ?? firstError(stderr)).replace(/[.!]+$/, '')}`
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  throw buildError(
    `nvcc ${version} (${nvcc}) compiles with no host compiler found here (${candidates.join(', ') || 'there is none'}). ` +
      `${reason && `${reason}. `}Install an older g++ (CUDA 11.8 takes up to 11), or name one in CUDAHOSTCXX.`,
  )
}

/** Those of the GPUs in this machine: all that llama.cpp knows take hours. Empty if there is none or no driver. */
function presentArchitectures(): string {
  const { stdout } = spawnSync('nvidia-smi', ['--query-gpu=compute_cap', '--format=csv,noheader'], { encoding: 'utf8' })
  const found = (stdout ?? '').split('\n').map((line) => line.trim().replace('.', ''))
  return [...new Set(found.filter((line) => /^\d+$/.test(line)))].map((line) => `${line}-real`).join(';')
}
