// Builds the libraries of a platform's package with every CPU variant, into npm/NAME.
//   npm run prebuilt                   for this machine's platform
//   npm run prebuilt -- linux-x64 …    for those named
// Then it checks what the libraries ask of the system, and how large the package is when it is packed.
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from '../src/package-root.js'
import { BuildError, engineSources } from './engine.js'
import { makeGlibcStubs } from './glibc-stubs.js'
import { buildNative, runScript } from './native-build.js'
import { packFolder } from './packages.js'
import { checkSymbols } from './symbols.js'
import { findTarget, HOST, packageFolder, type Target } from './targets.js'
import { findToolchain } from './toolchain.js'

const LARGEST_PACKAGE = 15e6

function prebuild(target: Target): void {
  const folder = join(packageRoot(), 'build', 'prebuilt', target.name)
  const { name, toolchainFile, baseline } = target
  if (!toolchainFile && name !== HOST)
    throw new BuildError(`${name} can only be built on such a machine; this is ${HOST}.`)
  const definitions = ['PHI2_PORTABLE=ON']
  if (baseline?.GLIBC) {
    const stubs = join(packageRoot(), 'build', 'prebuilt', `${name}-glibc`)
    makeGlibcStubs(
      stubs,
      baseline.GLIBC,
      target.prefix ? `${target.prefix}gcc` : (findToolchain().compilers?.cc ?? 'cc'),
    )
    definitions.push(`PHI2_GLIBC_STUBS=${stubs}`)
  }
  say(`${name}:`)
  const libraries = fill(target, buildNative({ folder, definitions, toolchainFile }))
  if (baseline) report(libraries, baseline)
  measure(target)
}

/** Puts the libraries into the package's folder, stripped, and gives their paths. */
function fill(target: Target, built: string): string[] {
  const folder = packageFolder(target)
  const isLibrary = (file: string) => file.endsWith('.node') || file.endsWith(target.extension)
  for (const file of readdirSync(folder).filter(isLibrary)) rmSync(join(folder, file))
  const paths = readdirSync(built)
    .filter(isLibrary)
    .map((file) => {
      const path = join(folder, file)
      copyFileSync(join(built, file), path)
      chmodSync(path, 0o755)
      return path
    })
  if (paths.length < 5)
    throw new BuildError(`Expected the addon and the engine's libraries in ${built}, found too few.`)
  const { status, error } = spawnSync(`${target.prefix ?? ''}strip`, stripOptions(target, paths), { stdio: 'inherit' })
  if (status !== 0) throw new BuildError(`Could not strip the libraries: ${error?.message ?? `exit code ${status}`}`)
  copyFileSync(join(packageRoot(), 'LICENSE'), join(folder, 'LICENSE'))
  copyFileSync(join(engineSources(), 'LICENSE'), join(folder, 'LICENSE-llama.cpp'))
  return paths
}

// Apple's strip would else take what others link to.
function stripOptions({ extension }: Target, paths: readonly string[]): string[] {
  return [extension === '.dylib' ? '-x' : '--strip-unneeded', ...paths]
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
    throw new BuildError(`The baseline is ${allowed.join(', ')}, but\n  ${problems.join('\n  ')}`)
  }
}

function measure(target: Target): void {
  const { bytes, unpackedBytes } = packFolder(packageFolder(target), join(packageRoot(), 'build', 'packages'))
  say(`  packed ${megabytes(bytes)}, unpacked ${megabytes(unpackedBytes)}`)
  if (bytes > LARGEST_PACKAGE) throw new BuildError(`The package may have ${megabytes(LARGEST_PACKAGE)} at most.`)
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

const names = process.argv.slice(2)
runScript(() => {
  for (const name of names.length > 0 ? names : [HOST]) prebuild(findTarget(name))
})
