import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { delimiter, join } from 'node:path'
import { before, test } from 'node:test'
import { packageRoot, packageVersion } from '../../src/package-root.js'
import { temporaryFolder } from '../helpers/model.js'
import { tarballs } from './consumer.js'

// `phi2 build` from the packed tarball alone. The compiler's work is replaced by a copy of what this checkout has built, so that
// a run takes seconds; with PHI2_TEST_BUILD=1 the last test compiles for real, which takes some minutes.
const root = packageRoot()
const folder = temporaryFolder()
const installed = join(folder, 'app', 'node_modules', 'phi2')
const cache = join(folder, 'cache')
const place = join(cache, 'builds', `${packageVersion()}-${process.platform}-${process.arch}`)
let contents: string[]
const question = 'What is the capital of France?'
const skip = process.platform === 'win32' && 'the stand-in for CMake is a shell script'

// Where nothing was built but the platform's package, as in a release, that package's libraries do.
const local = join(root, 'build', 'Release')
const prebuilt = join(root, 'npm', `${process.platform}-${process.arch}`)

const env: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: [join(folder, 'bin'), process.env.PATH].join(delimiter),
  PHI2_CACHE: cache,
  LLAMA_CPP_DIR: process.env.LLAMA_CPP_DIR || join(root, 'build', 'llama.cpp'),
  BUILT: existsSync(local) ? local : prebuilt,
}
for (const name of ['PHI2_BINDING', 'PHI2_MODEL', 'CMAKE']) delete env[name]

// What it does at --build is named by the variable CMAKE.
const CMAKE = `#!/bin/sh
if [ "$1" != --build ]; then exit 0; fi
echo "[1/2] Building CXX object native/core/engine.cpp.o"
mkdir -p "$2/Release"
case "\${CMAKE:-copy}" in
  copy) cp "$BUILT"/* "$2/Release" ;;
  broken) echo nonsense > "$2/Release/phi2.node" ;;
  fail) echo "engine.cpp:1:1: error: expected unqualified-id"; echo "ninja: build stopped"; exit 1 ;;
  hang) touch "$2/started"; sleep 600 & echo $! > "$2/compiler.pid"; wait ;;
esac
`

before(() => {
  mkdirSync(installed, { recursive: true })
  execFileSync('tar', ['-xzf', tarballs().main, '-C', installed, '--strip-components=1'])
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  for (const name of Object.keys(dependencies)) {
    symlinkSync(join(root, 'node_modules', name), join(installed, '..', name))
  }
  contents = listing()
  mkdirSync(join(folder, 'bin'))
  writeFileSync(join(folder, 'bin', 'cmake'), CMAKE)
  chmodSync(join(folder, 'bin', 'cmake'), 0o755)
})

interface Ran {
  status: number | null
  stdout: string
  stderr: string
}

function phi2(args: readonly string[], extra: NodeJS.ProcessEnv = {}): Ran {
  const command = [join(installed, 'dist', 'src', 'cli', 'main.js'), ...args]
  return spawnSync(process.execPath, command, { cwd: join(folder, 'app'), encoding: 'utf8', env: { ...env, ...extra } })
}

test('without an addon the error says how one is built', { skip }, () => {
  const { status, stderr } = phi2(['ask', question])
  assert.equal(status, 1)
  assert.match(stderr, /npx phi2 build/)
})

test('phi2 build names every tool that is missing', { skip }, () => {
  const empty = join(folder, 'empty')
  mkdirSync(empty)
  const { status, stderr } = phi2(['build'], { PATH: empty, CC: '', CXX: '', LLAMA_CPP_DIR: '' })
  assert.equal(status, 1)
  assert.match(stderr, /Building needs cmake, git, tar, make, a C\+\+17 compiler .*\(PHI2_BUILD_FAILED\)\n$/)
})

test('a failed build shows the compiler’s first error and the log, and leaves nothing to load', { skip }, () => {
  const { status, stderr, stdout } = phi2(['build'], { CMAKE: 'fail' })
  assert.equal(status, 1)
  assert.equal(stdout, '')
  assert.match(stderr, /The native build failed:\n {2}engine\.cpp:1:1: error: expected unqualified-id\n/)
  const log = /is in (\S+build\.log)/.exec(stderr)?.[1]
  assert.ok(log && readFileSync(log, 'utf8').includes('[1/2] Building'))
  assert.ok(!existsSync(place))
})

test('what was compiled and does not load is not put in place', { skip }, () => {
  const { status, stderr } = phi2(['build'], { CMAKE: 'broken' })
  assert.equal(status, 1)
  assert.match(stderr, /does not work here and was not put in place: /)
  assert.match(stderr, /phi2\.node/)
  assert.ok(!existsSync(place))
})

test('a build that is asked to end ends its compilers and leaves nothing to load', { skip }, async () => {
  const command = [join(installed, 'dist', 'src', 'cli', 'main.js'), 'build']
  const child = spawn(process.execPath, command, { env: { ...env, CMAKE: 'hang' }, stdio: 'ignore' })
  const pidFile = join(`${place}.work`, 'compiler.pid')
  await until(() => existsSync(pidFile) && readFileSync(pidFile, 'utf8').endsWith('\n'), child)
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'exit'), [143, null])
  const pid = Number(readFileSync(pidFile, 'utf8'))
  await until(() => !isRunning(pid))
  assert.ok(!existsSync(place))
})

test('phi2 build puts the addon where ask finds it, checked and without leftovers', { skip }, () => {
  const built = phi2(['build', '--json'])
  assert.equal(built.status, 0, built.stderr)
  const result = JSON.parse(built.stdout)
  assert.equal(result.path, join(place, 'phi2.node'))
  assert.equal(result.version, packageVersion())
  assert.ok(result.backends.includes('CPU'))
  assert.equal(result.hiddenBy, undefined)
  assert.deepEqual(readdirSync(join(cache, 'builds')), [`${packageVersion()}-${process.platform}-${process.arch}`])
  const { status, stdout } = phi2(['ask', question])
  assert.equal(stdout, 'The capital of France is Paris.\n')
  assert.equal(status, 0)
})

// It may lie in an archive, or belong to somebody else.
test('nothing was written into the package itself', { skip }, () => {
  assert.deepEqual(listing(), contents)
})

test('a failed build leaves the one before in use', { skip }, () => {
  const before = statSync(join(place, 'phi2.node')).ino
  for (const CMAKE of ['fail', 'broken']) assert.equal(phi2(['build'], { CMAKE }).status, 1)
  assert.equal(statSync(join(place, 'phi2.node')).ino, before)
  assert.equal(phi2(['ask', question]).status, 0)
})

test('a build that cannot be loaded says how to mend or remove it', { skip }, () => {
  rmSync(join(place, 'phi2.node'))
  writeFileSync(join(place, 'phi2.node'), 'nonsense')
  const { status, stderr } = phi2(['ask', question])
  assert.equal(status, 1)
  assert.match(stderr, /npx phi2 build --remove/)
})

test('phi2 build --remove removes it', { skip }, () => {
  assert.equal(phi2(['build', '--remove', '--json']).stdout, '{"removed":true}\n')
  assert.deepEqual(readdirSync(join(cache, 'builds')), [])
  assert.equal(phi2(['build', '--remove', '--json']).stdout, '{"removed":false}\n')
  assert.equal(phi2(['build', '--remove', '--cuda']).status, 2)
})

const whole = process.env.PHI2_TEST_BUILD === '1'
test('the whole, with the real tools', { skip: skip || (!whole && 'takes minutes; PHI2_TEST_BUILD=1 runs it') }, () => {
  rmSync(join(folder, 'bin'), { recursive: true })
  const built = phi2(['build'], process.env.LLAMA_CPP_DIR ? {} : { LLAMA_CPP_DIR: '' })
  assert.equal(built.status, 0, built.stderr)
  assert.equal(phi2(['ask', question]).stdout, 'The capital of France is Paris.\n')
})

async function until(condition: () => boolean, child?: ChildProcess): Promise<void> {
  while (!condition()) {
    if (child && child.exitCode !== null) throw new Error(`the child ended with ${child.exitCode}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** One that has ended and that nobody has asked about yet is still listed. */
function isRunning(pid: number): boolean {
  const { stdout } = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' })
  return /^[^Z\s]/.test(stdout.trim())
}

function listing(): string[] {
  return readdirSync(installed, { recursive: true, encoding: 'utf8' }).sort()
}
