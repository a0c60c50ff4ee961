// Runs the tests for a platform that is not this machine's under an emulator, with the embedded model:
//   npm run test:cross -- linux-arm64
//   npm run test:cross -- win32-x64
// First the C++ tests of native/core, and those of the engine again as on other processors; then, with that platform's
// own Node out of npm, the libraries that `npm run prebuilt -- NAME` has made: the self-check, an answer, tests of
// test/native. For Debian and Ubuntu; what has to be installed is said. Half an hour on two cores, and more the first time.
import { spawnSync } from 'node:child_process'
import { closeSync, copyFileSync, existsSync, openSync, readFileSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { basename, join } from 'node:path'
import { forgetOtherConfiguration } from '../src/builder/configuration.js'
import { fetchTarball } from '../src/builder/fetch.js'
import { buildError, runOrFail } from '../src/builder/run.js'
import { engineSources } from '../src/builder/sources.js'
import { onPath } from '../src/builder/toolchain.js'
import { packageRoot } from '../src/package-root.js'
import { type Emulated, emulated } from './emulated.js'
import { runScript } from './run-script.js'
import { findTarget, runtimeLibraries } from './targets.js'

const root = packageRoot()

/** What the engine computes differs from processor to processor; the rest of the tests does not. */
const COMPUTING = '^(engine|model|reading|sampler)$'

const NATIVE_TESTS = ['reference', 'stop-matcher', 'utf8']

async function test(name: string): Promise<void> {
  const platform = emulated[name]
  if (!platform) throw buildError(`Expected ${Object.keys(emulated).join(' or ')} but received ${name}.`)
  const missing = platform.needs.filter(([program]) => !onPath(program)).map(([, packages]) => packages)
  if (missing.length > 0) throw buildError(`Install first: sudo apt-get install -y ${[...new Set(missing)].join(' ')}`)

  await testCore(name, platform)
  const addon = join(root, 'npm', name, 'phi2.node')
  if (!existsSync(addon)) throw buildError(`There is no ${addon}. \`npm run prebuilt -- ${name}\` makes it.`)
  await testNode(platform, await fetchNode(name, platform), addon)
}

async function testCore(name: string, platform: Emulated): Promise<void> {
  const folder = join(root, 'build', 'cross', name)
  const configure = ['-S', root, '-B', folder, '-DPHI2_ADDON=OFF', '-DPHI2_TESTS=ON', '-DPHI2_PORTABLE=ON']
  configure.push('-DCMAKE_BUILD_TYPE=Release', `-DLLAMA_CPP_DIR=${await engineSources(join(root, 'build'))}`)
  configure.push(`-DCMAKE_TOOLCHAIN_FILE=${join(root, platform.toolchainFile)}`)
  if (onPath('ninja')) configure.push('-G', 'Ninja')
  forgetOtherConfiguration(folder, configure)
  run(['cmake', ...configure, '--log-level=WARNING'])
  run(['cmake', '--build', folder, '--parallel', String(availableParallelism())])
  for (const path of runtimeLibraries(findTarget(name))) copyFileSync(path, join(folder, 'Release', basename(path)))
  const ctest = ['ctest', '--test-dir', folder, '--output-on-failure']
  const [first, ...others] = Object.entries(platform.processors)
  say(`the C++ tests on ${first![0]}`)
  run(ctest, { ...platform.environment, ...first![1] })
  for (const [processor, environment] of others) {
    say(`those that compute on ${processor}`)
    run([...ctest, '--tests-regex', COMPUTING], { ...platform.environment, ...environment })
  }
}

async function fetchNode(name: string, { node }: Emulated): Promise<string> {
  const folder = join(root, 'build', 'cross', `${name}-node`)
  const program = join(folder, node.program)
  if (existsSync(program)) return program
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const tarball = await fetchTarball(node, folder, { which: 'is Node for that platform' })
  await runOrFail('tar', ['-xzf', tarball, '-C', folder, '--strip-components=1'], 'unpack Node')
  await rm(tarball)
  return program
}

async function testNode(platform: Emulated, node: string, addon: string): Promise<void> {
  const base = {
    ...platform.environment,
    PHI2_BINDING: platform.path(addon),
    PHI2_CACHE: platform.path(join(root, 'build', 'cross', 'cache')),
  }
  // Compiled: tsx would want an esbuild for that platform, too.
  const compiled = join(root, 'build', 'cross', 'js')
  run([process.execPath, join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '--noCheck', '--outDir', compiled])
  // Under Wine, Node cannot write into a pipe.
  const output = join(root, 'build', 'cross', 'output.txt')
  const emulate = (processor: Readonly<Record<string, string>>, file: string, ...args: string[]) => {
    const command = [...platform.emulator, node, platform.path(join(compiled, file)), ...args]
    const descriptor = openSync(output, 'w')
    try {
      run(command, { ...base, ...processor }, descriptor)
    } finally {
      closeSync(descriptor)
      process.stdout.write(readFileSync(output, 'utf8'))
    }
  }
  for (const [name, processor] of Object.entries(platform.processors)) {
    say(`its own Node on ${name}`)
    emulate(processor, 'src/cli/main.js', 'doctor')
  }
  const [first] = Object.values(platform.processors)
  emulate(first!, 'src/cli/main.js', 'ask', 'What is the capital of France?')
  for (const name of NATIVE_TESTS) emulate(first!, `test/native/${name}.test.js`)
}

function run(
  [command, ...args]: string[],
  environment: Readonly<Record<string, string>> = {},
  output: 'inherit' | number = 'inherit',
): void {
  const { error, signal, status } = spawnSync(command!, args, {
    cwd: root,
    env: { ...process.env, ...environment },
    stdio: ['ignore', output, output],
  })
  if (status !== 0)
    throw buildError(`${command} ${args[0]} … failed: ${error?.message ?? signal ?? `exit code ${status}`}`)
}

function say(text: string): void {
  process.stderr.write(`phi2: ${text}\n`)
}

await runScript(() => test(process.argv[2] ?? ''))
