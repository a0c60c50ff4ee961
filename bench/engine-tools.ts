import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { buildError } from '../src/builder/run.js'
import { engineSources } from '../src/builder/sources.js'
import { packageRoot } from '../src/package-root.js'

/**
 * Builds tools of llama.cpp from the pinned sources into build/bench/engine, with the compiler, the features and the
 * flags that the addon was built with, and gives the folder of the programs. The first time it takes some minutes.
 */
export async function buildEngineTools(tools: readonly string[]): Promise<string> {
  const folder = join(packageRoot(), 'build', 'bench', 'engine')
  configure(folder, ['-S', await engineSources(join(packageRoot(), 'build')), '-B', folder, ...definitions()])
  const jobs = String(availableParallelism())
  run('cmake', ['--build', folder, '--config', 'Release', '--parallel', jobs, '--target', ...tools])
  return join(folder, 'bin')
}

/**
 * Once is enough: options that are new in CMake's cache would start the whole build over. What was configured otherwise
 * (another compiler, a folder that has been moved) is thrown away, because CMake refuses it.
 */
function configure(folder: string, command: readonly string[]): void {
  const stamp = join(folder, '.phi2-configuration')
  const wanted = command.join('\n')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  rmSync(folder, { recursive: true, force: true })
  run('cmake', command)
  writeFileSync(stamp, wanted)
}

function definitions(): string[] {
  const cache = addonCache()
  const compiler = cache.get('CMAKE_CXX_COMPILER') ?? ''
  const same = [...cache].filter(([name]) =>
    /^(GGML_|CMAKE_CXX_COMPILER$|CMAKE_C_COMPILER$|CMAKE_GENERATOR$)/.test(name),
  )
  const off = ['APP', 'EXAMPLES', 'MTMD', 'SERVER', 'TESTS', 'UI'].map((part) => `LLAMA_BUILD_${part}=OFF`)
  const values = [
    ...same.map(([name, value]) => `${name}=${value}`),
    ...off,
    'CMAKE_BUILD_TYPE=Release',
    'LLAMA_BUILD_COMMON=ON',
    'LLAMA_BUILD_TOOLS=ON',
    'LLAMA_OPENSSL=OFF',
    'LLAMA_BUILD_IS_DEV=OFF',
    // as cmake/engine.cmake does for the AMX kernels
    ...(compiler.includes('clang') ? [] : ['CMAKE_CXX_FLAGS=-fno-dse -fno-tree-dse']),
  ]
  return values.map((value) => `-D${value}`)
}

function addonCache(): Map<string, string> {
  const path = join(packageRoot(), 'build', 'CMakeCache.txt')
  if (!existsSync(path)) throw buildError('The addon was not built here: run `npm run build` first.')
  const lines = readFileSync(path, 'utf8').split('\n')
  const entries = lines.map((line) => /^(\w+):(?:BOOL|STRING|FILEPATH|INTERNAL)=(.+)$/.exec(line))
  return new Map(entries.flatMap((entry) => (entry ? [[entry[1]!, entry[2]!]] : [])))
}

function run(command: string, args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  if (status !== 0) {
    throw buildError(`${command} ${args.slice(0, 4).join(' ')} … failed: ${error?.message ?? `exit code ${status}`}`)
  }
}
