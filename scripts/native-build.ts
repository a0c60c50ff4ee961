import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { packageRoot } from '../src/package-root.js'
import { forgetOtherConfiguration } from './configuration.js'
import { BuildError, engineSources } from './engine.js'
import { findToolchain, installHint } from './toolchain.js'

export interface NativeBuild {
  /** Where CMake works. @default `build` of the package */
  folder?: string
  /** For CMake, as `NAME=VALUE`. */
  definitions?: readonly string[]
  /** CMake's description of the compilers for another platform, instead of those found here. */
  toolchainFile?: string | undefined
  debug?: boolean
  /** Shows CMake's own output. */
  verbose?: boolean
}

/** Builds the addon and the engine, and gives the folder where the libraries lie together. */
export function buildNative({
  folder,
  definitions = [],
  toolchainFile,
  debug = false,
  verbose = false,
}: NativeBuild): string {
  const toolchain = findToolchain()
  if (toolchain.missing.length > 0) {
    throw new BuildError(
      `Building needs ${toolchain.missing.join(', ')}, not found here. Install with:\n  ${installHint(toolchain.missing)}`,
    )
  }
  const cmakeJs = cmakeJsPath()
  const command = [cmakeJs, verbose ? '--log-level=verbose' : '--log-level=error', 'build']
  command.push('--parallel', String(availableParallelism()))
  if (folder) command.push('--out', folder)
  const all = [`LLAMA_CPP_DIR=${engineSources()}`, ...definitions]
  if (toolchainFile) all.push(`CMAKE_TOOLCHAIN_FILE=${join(packageRoot(), toolchainFile)}`)
  command.push(...all.map((definition) => `--CD${definition}`))
  if (debug) command.push('--debug')
  if (toolchain.compilers && !toolchainFile)
    command.push('--cc', toolchain.compilers.cc, '--cxx', toolchain.compilers.cxx)

  const out = folder ?? join(packageRoot(), 'build')
  forgetOtherConfiguration(out, command.slice(2))
  process.stderr.write(`phi2: building the native addon (a few minutes the first time, seconds afterwards) …\n`)
  const started = Date.now()
  const { status, signal, error } = spawnSync(process.execPath, command, {
    cwd: packageRoot(),
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (status !== 0)
    throw new BuildError(
      `The native build failed (${error?.message ?? signal ?? `exit code ${status}`}); the compiler's messages are above.`,
    )
  process.stderr.write(`phi2: native addon ready after ${Math.round((Date.now() - started) / 1000)} s\n`)
  return join(out, debug ? 'Debug' : 'Release')
}

function cmakeJsPath(): string {
  const require = createRequire(import.meta.url)
  try {
    return join(dirname(require.resolve('cmake-js/package.json')), 'bin', 'cmake-js')
  } catch {
    throw new BuildError('cmake-js is not installed. Run `npm ci` (without --omit=dev).')
  }
}

/** Runs a command's story; a {@link BuildError} ends it with its message. */
export function runScript(story: () => void): void {
  try {
    story()
  } catch (error) {
    if (!(error instanceof BuildError)) throw error
    process.stderr.write(`phi2: ${error.message}\n`)
    process.exitCode = 1
  }
}
