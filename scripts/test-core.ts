// Builds native/core, the engine and their C++ tests once for each group of sanitizers, and runs the tests (ctest).
//   npm run test:core                the two of them
//   npm run test:core -- thread      that one only
// A compiler that has no such sanitizer is told; with CI set that is a failure.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { forgetOtherConfiguration } from '../src/builder/configuration.js'
import { engineSources } from '../src/builder/sources.js'
import { describeMissing, findToolchain, onPath, type Toolchain } from '../src/builder/toolchain.js'
import { packageRoot } from '../src/package-root.js'

const builds = [
  { name: 'address', sanitizers: 'address,undefined', folder: 'core-tests' },
  { name: 'thread', sanitizers: 'thread', folder: 'core-tests-tsan' },
] as const

type Build = (typeof builds)[number]

async function main(args: readonly string[]): Promise<void> {
  const toolchain = findToolchain()
  if (toolchain.missing.length > 0) fail(describeMissing(toolchain.missing, 'Testing the C++'))
  const unknown = args.find((arg) => builds.every(({ name }) => name !== arg))
  if (unknown !== undefined) fail(`expected ${builds.map(({ name }) => name).join(' or ')} but received ${unknown}.`)

  const wanted = builds.filter(({ name }) => args.length === 0 || args.includes(name))
  const usable = wanted.filter((build) => works(build, toolchain))
  const engine = await engineSources(join(packageRoot(), 'build'))
  for (const build of usable) buildAndTest(build.folder, build.sanitizers, engine, toolchain)
  if (usable.length === 0) buildAndTest('core-tests', '', engine, toolchain)
}

function buildAndTest(folder: string, sanitizers: string, engine: string, { compilers }: Toolchain): void {
  const root = packageRoot()
  const path = join(root, 'build', folder)
  const configure = ['-S', root, '-B', path, '-DPHI2_ADDON=OFF', '-DPHI2_TESTS=ON', `-DPHI2_SANITIZE=${sanitizers}`]
  // With the engine's assertions.
  configure.push('-DCMAKE_BUILD_TYPE=Debug', `-DLLAMA_CPP_DIR=${engine}`)
  if (compilers) configure.push(`-DCMAKE_C_COMPILER=${compilers.cc}`, `-DCMAKE_CXX_COMPILER=${compilers.cxx}`)
  if (onPath('ninja')) configure.push('-G', 'Ninja')
  forgetOtherConfiguration(path, configure)

  process.stderr.write(`phi2: the C++ tests ${sanitizers ? `under -fsanitize=${sanitizers}` : 'without sanitizers'}\n`)
  run(['cmake', ...configure, '--log-level=WARNING'])
  run(['cmake', '--build', path, '--parallel', String(availableParallelism())])
  run([...atFixedAddresses(), 'ctest', '--test-dir', path, '--output-on-failure'])
}

/** Whether a program built with the sanitizers runs here; tells the reason if not. */
function works(build: Build, { compilers }: Toolchain): boolean {
  if (!compilers) return skip(build, 'only compilers with the options of GCC and Clang are known here')
  const folder = mkdtempSync(join(tmpdir(), 'phi2-sanitizer-'))
  try {
    const source = join(folder, 'main.cpp')
    const program = join(folder, 'main')
    writeFileSync(source, '#include <thread>\nint main() { std::thread([] {}).join(); }\n')
    const compiled = spawnSync(compilers.cxx, [`-fsanitize=${build.sanitizers}`, '-pthread', source, '-o', program], {
      encoding: 'utf8',
    })
    if (compiled.status !== 0) return skip(build, compiled.error?.message ?? compiled.stderr)
    const [command, ...rest] = [...atFixedAddresses(), program]
    const ran = spawnSync(command!, rest, { encoding: 'utf8' })
    return ran.status === 0 || skip(build, ran.error?.message ?? (ran.stderr || `it ends with ${ran.signal}`))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function skip({ name, sanitizers }: Build, reason: string): false {
  const message = `the C++ tests cannot be built with -fsanitize=${sanitizers} here: ${reason.trim()}`
  if (process.env.CI) fail(`${message}\nSanitizers are not left out where CI is set.`)
  process.stderr.write(`phi2: ${message}\nphi2: leaving out the tests under the ${name} sanitizer.\n`)
  return false
}

// Linux 6.6 and later place libraries where older sanitizers keep their own memory, unless told not to.
function atFixedAddresses(): string[] {
  const command = ['setarch', '--addr-no-randomize']
  const allowed = process.platform === 'linux' && spawnSync(command[0]!, [...command.slice(1), 'true']).status === 0
  return allowed ? command : []
}

function run([command, ...args]: string[]): void {
  const { status } = spawnSync(command!, args, { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}

function fail(message: string): never {
  process.stderr.write(`phi2: ${message}\n`)
  process.exit(1)
}

await main(process.argv.slice(2))
