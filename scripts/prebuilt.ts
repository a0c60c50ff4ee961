// Builds the libraries of a platform's package with every CPU variant, into npm/NAME.
//   npm run prebuilt                   for this machine's platform
//   npm run prebuilt -- linux-x64 …    for those named
// Then it checks what the libraries ask of the system, and how large the package is when it is packed.
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { compileAddon } from '../src/builder/compile.js'
import { buildError } from '../src/builder/run.js'
import { engineSources } from '../src/builder/sources.js'
import { findToolchain } from '../src/builder/toolchain.js'
import { BuildProgressLine } from '../src/cli/build-progress.js'
import { packageRoot } from '../src/package-root.js'
import { makeGlibcStubs } from './glibc-stubs.js'
import { packFolder } from './packages.js'
import { runScript } from './run-script.js'
import { checkSymbols } from './symbols.js'
import { findTarget, HOST, librariesIn, packageFolder, runtimeLibraries, type Target } from './targets.js'

const LARGEST_PACKAGE = 15e6

async function prebuild(target: Target, signal: AbortSignal): Promise<void> {
  const folder = join(packageRoot(), 'build', 'prebuilt', target.name)
  const { name, baseline } = target
  // On such a machine it takes that machine's own compilers.
  const toolchainFile = name === HOST ? undefined : target.toolchainFile
  if (!toolchainFile && name !== HOST) throw buildError(`${name} can only be built on such a machine; this is ${HOST}.`)
  const prefix = toolchainFile ? target.prefix : ''
  const definitions: string[] = []
  if (baseline?.GLIBC) {
    const stubs = join(packageRoot(), 'build', 'prebuilt', `${name}-glibc`)
    makeGlibcStubs(stubs, baseline.GLIBC, prefix ? `${prefix}gcc` : (findToolchain().compilers?.cc ?? 'cc'))
    definitions.push(`PHI2_GLIBC_STUBS=${stubs}`)
  }
  say(`${name}:`)
  const sources = join(packageRoot(), 'build')
  const progress = new BuildProgressLine(process.stderr)
  const addon = await compileAddon({
    folder,
    sources,
    portable: true,
    definitions,
    toolchainFile: toolchainFile && join(packageRoot(), toolchainFile),
    signal,
    onProgress: progress.update,
  }).finally(() => progress.end())
  const runtime = toolchainFile ? runtimeLibraries(target) : []
  const libraries = fill(target, [...librariesIn(target, dirname(addon)), ...runtime])
  strip(libraries, prefix ?? '')
  copyFileSync(join(packageRoot(), 'LICENSE'), join(packageFolder(target), 'LICENSE'))
  copyFileSync(join(await engineSources(sources), 'LICENSE'), join(packageFolder(target), 'LICENSE-llama.cpp'))
  if (baseline) report(libraries, baseline)
  measure(target)
}

/** Puts the libraries into the package's folder, in the place of older ones, and gives their paths there. */
function fill(target: Target, libraries: readonly string[]): string[] {
  const folder = packageFolder(target)
  if (libraries.length < 5)
    throw buildError(`Expected the addon and the engine's libraries, found ${libraries.length}.`)
  for (const path of librariesIn(target, folder)) rmSync(path)
  return libraries.map((library) => {
    const path = join(folder, basename(library))
    copyFileSync(library, path)
    chmodSync(path, 0o755)
    return path
  })
}

function strip(libraries: readonly string[], prefix: string): void {
  // Visual C++ keeps what is stripped elsewhere in files of its own. Apple's strip would else take what others link to.
  if (process.platform === 'win32') return
  const options = [process.platform === 'darwin' ? '-x' : '--strip-unneeded', ...libraries]
  const { status, error } = spawnSync(`${prefix}strip`, options, { stdio: 'inherit' })
  if (status !== 0) throw buildError(`Could not strip the libraries: ${error?.message ?? `exit code ${status}`}`)
}

function report(libraries: readonly string[], baseline: Readonly<Record<string, string>>): void {
  const { newest, needed, problems } = checkSymbols(libraries, baseline)
  say(
    `  newest symbols: ${Object.entries(newest)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}`,
  )
  say(`  libraries of the system: ${needed.join(', ')}`)
  const allowed = Object.entries(baseline).map(([name, version]) => `${name} ${version}`)
  if (problems.length > 0) {
    throw buildError(`The baseline is ${allowed.join(', ')}, but\n  ${problems.join('\n  ')}`)
  }
}

function measure(target: Target): void {
  const { bytes, unpackedBytes } = packFolder(packageFolder(target), join(packageRoot(), 'build', 'packages'))
  say(`  packed ${megabytes(bytes)}, unpacked ${megabytes(unpackedBytes)}`)
  if (bytes > LARGEST_PACKAGE) throw buildError(`The package may have ${megabytes(LARGEST_PACKAGE)} at most.`)
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

const names = process.argv.slice(2)
await runScript(async (signal) => {
  for (const name of names.length > 0 ? names : [HOST]) await prebuild(findTarget(name), signal)
})
