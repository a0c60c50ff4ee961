// Builds the addon and the engine into build/Release. Called by `npm run build`, which `npm ci` runs through `prepare`.
//   --debug      unoptimized, into build/Debug
//   --portable   every CPU variant, chosen at run time, instead of this machine's features
//   --cuda       the CUDA backend too (needs nvcc and cuBLAS; CMAKE_CUDA_ARCHITECTURES is heeded)
//   -DNAME=VALUE passed on to CMake
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { packageRoot } from '../src/package-root.js'
import { forgetOtherConfiguration } from './configuration.js'
import { BuildError, engineSources } from './engine.js'
import { findToolchain, installHint } from './toolchain.js'

function build(args: readonly string[]): void {
  const toolchain = findToolchain()
  if (toolchain.missing.length > 0) {
    throw new BuildError(
      `Building needs ${toolchain.missing.join(', ')}, not found here. Install with:\n  ${installHint(toolchain.missing)}`,
    )
  }
  const cmakeJs = cmakeJsPath()
  const definitions = [`LLAMA_CPP_DIR=${engineSources()}`, ...cmakeDefinitions(args)]
  const command = [
    cmakeJs,
    args.includes('--verbose') ? '--log-level=verbose' : '--log-level=error',
    'build',
    '--parallel',
    String(availableParallelism()),
  ]
  command.push(...definitions.map((definition) => `--CD${definition}`))
  if (args.includes('--debug')) command.push('--debug')
  if (toolchain.compilers) command.push('--cc', toolchain.compilers.cc, '--cxx', toolchain.compilers.cxx)

  forgetOtherConfiguration(join(packageRoot(), 'build'), command.slice(2))
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
}

function cmakeJsPath(): string {
  const require = createRequire(import.meta.url)
  try {
    return join(dirname(require.resolve('cmake-js/package.json')), 'bin', 'cmake-js')
  } catch {
    throw new BuildError('cmake-js is not installed. Run `npm ci` (without --omit=dev).')
  }
}

function cmakeDefinitions(args: readonly string[]): string[] {
  const definitions = args.filter((arg) => arg.startsWith('-D')).map((arg) => arg.slice(2))
  if (args.includes('--portable')) definitions.push('PHI2_PORTABLE=ON')
  if (args.includes('--cuda')) {
    definitions.push('GGML_CUDA=ON')
    const architectures = process.env.CMAKE_CUDA_ARCHITECTURES
    if (architectures) definitions.push(`CMAKE_CUDA_ARCHITECTURES=${architectures}`)
  }
  return definitions
}

try {
  build(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof BuildError)) throw error
  process.stderr.write(`phi2: ${error.message}\n`)
  process.exitCode = 1
}
