import { mkdir, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { packageRoot } from '../package-root.js'
import { forgetOtherConfiguration } from './configuration.js'
import { findCuda } from './cuda.js'
import { buildError, run } from './run.js'
import { engineSources, nodeApiSources } from './sources.js'
import { type Accelerators, describeMissing, findToolchain, onPath, type Toolchain } from './toolchain.js'

export interface CompileOptions extends Accelerators {
  /** Where CMake works; the products come into `Release` (or `Debug`) in it. */
  folder: string
  /** Where sources are fetched to. @default `folder` */
  sources?: string
  /** CMake's description of the compilers for another platform, instead of those found here. */
  toolchainFile?: string | undefined
  /** Unoptimized. */
  debug?: boolean | undefined
  /** Every CPU variant, chosen at run time, instead of this machine's features. */
  portable?: boolean | undefined
  /** More definitions for CMake, `NAME=VALUE`. */
  definitions?: readonly string[]
  signal?: AbortSignal | undefined
  onProgress?: ((progress: BuildProgress) => void) | undefined
  /** Called for every line that CMake and the compilers print. */
  onLine?: ((line: string) => void) | undefined
}

export interface BuildProgress {
  step: 'fetch' | 'configure' | 'compile'
  /** What is fetched, or how many files are compiled. */
  detail: string
  /** From 0 to 1, where it is known. */
  fraction?: number
}

const LOG = 'build.log'

/**
 * Compiles the addon and the engine from this package's own sources, and gives the path of `phi2.node`. A stopped build
 * goes on where it was.
 *
 * @throws {Phi2Error} `PHI2_BUILD_FAILED` naming all the tools that are missing, or with the compiler's first errors.
 */
export async function compileAddon(options: CompileOptions): Promise<string> {
  const { debug, folder, onLine, onProgress, signal, sources = folder } = options
  const toolchain = findToolchain(options)
  if (toolchain.missing.length > 0) throw buildError(describeMissing(toolchain.missing))
  const cuda = options.cuda ? findCuda(options) : undefined
  for (const path of [folder, sources]) await mkdir(path, { recursive: true })
  const fetch = { signal, onFetch: (detail: string) => onProgress?.({ step: 'fetch', detail }) }
  const engine = await engineSources(sources, fetch)

  const configuration = debug ? 'Debug' : 'Release'
  const definitions = [
    `CMAKE_BUILD_TYPE=${configuration}`,
    `LLAMA_CPP_DIR=${engine}`,
    ...(await nodeApiSources(sources, fetch)),
    ...compilerDefinitions(options, toolchain),
    ...backendDefinitions(options),
    ...(cuda?.definitions ?? []),
    ...(options.definitions ?? []),
  ]
  const configure = ['-S', packageRoot(), '-B', folder, ...generator(), ...definitions.map((value) => `-D${value}`)]
  forgetOtherConfiguration(folder, configure, configuration)

  onProgress?.({ step: 'configure', detail: '' })
  const log: string[] = []
  const env = cuda?.environment ?? process.env
  const cmake = (args: string[], seen: (line: string) => void) =>
    runLogged(args, { env, folder, log, signal, onLine: seen })
  await cmake(configure, (line) => onLine?.(line))
  const jobs = process.env.CMAKE_BUILD_PARALLEL_LEVEL ? [] : ['--parallel', String(availableParallelism())]
  await cmake(['--build', folder, '--config', configuration, ...jobs], (line) => {
    onLine?.(line)
    const progress = readProgress(line)
    if (progress) onProgress?.({ step: 'compile', ...progress })
  })
  return join(folder, configuration, 'phi2.node')
}

// Ninja is the faster one where little has changed. On Windows it needs the compiler's environment set up beforehand.
function generator(): string[] {
  const usable = onPath('ninja') && (process.platform !== 'win32' || onPath('cl'))
  return usable && !process.env.CMAKE_GENERATOR ? ['-G', 'Ninja'] : []
}

function compilerDefinitions({ toolchainFile }: CompileOptions, { compilers }: Toolchain): string[] {
  if (toolchainFile !== undefined) return [`CMAKE_TOOLCHAIN_FILE=${toolchainFile}`]
  return compilers ? [`CMAKE_C_COMPILER=${compilers.cc}`, `CMAKE_CXX_COMPILER=${compilers.cxx}`] : []
}

function backendDefinitions({ cuda, portable, vulkan }: CompileOptions): string[] {
  const on = (wanted: boolean | undefined) => (wanted ? 'ON' : 'OFF')
  return [`PHI2_PORTABLE=${on(portable)}`, `GGML_CUDA=${on(cuda)}`, `GGML_VULKAN=${on(vulkan)}`]
}

interface LoggedOptions {
  env: NodeJS.ProcessEnv
  folder: string
  /** Output of the calls before. */
  log: string[]
  signal: AbortSignal | undefined
  onLine: (line: string) => void
}

async function runLogged(args: string[], { env, folder, log, onLine, signal }: LoggedOptions): Promise<void> {
  const { output, status } = await run('cmake', args, { env, signal, onLine })
  log.push(`cmake ${args.join(' ')}`, output)
  const path = join(folder, LOG)
  await writeFile(path, log.join('\n'))
  if (status !== 0)
    throw buildError(`The native build failed:\n${failureExcerpt(output)}\nAll that was said is in ${path}`)
}

/** How far a build is, by a line of Ninja (`[12/345] …`) or of make (`[ 12%] …`). */
export function readProgress(line: string): { fraction: number; detail: string } | undefined {
  const ninja = /^\[(\d+)\/(\d+)\] /.exec(line)
  if (ninja) return { fraction: Number(ninja[1]) / Number(ninja[2]), detail: `${ninja[1]} of ${ninja[2]} files` }
  const make = /^\[ *(\d+)%\] /.exec(line)
  return make ? { fraction: Number(make[1]) / 100, detail: '' } : undefined
}

const EXCERPT_LINES = 15

/** The first error among what CMake and compilers print, with what follows it; without one the end. */
export function failureExcerpt(output: string): string {
  const lines = output.split('\n').filter((line) => line.trim() !== '')
  const isError = (line: string) =>
    /(^|[\s:])(fatal )?error( [A-Z]+\d+)?: |^CMake Error|No space left|out of memory/i.test(line)
  const first = lines.findIndex(isError)
  const shown = first < 0 ? lines.slice(-EXCERPT_LINES) : lines.slice(first, first + EXCERPT_LINES)
  return shown.map((line) => `  ${line}`).join('\n')
}
