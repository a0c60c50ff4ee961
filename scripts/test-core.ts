// Builds and runs the C++ tests of native/core (ctest), with the compiler of the addon.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { packageRoot } from '../src/package-root.js'
import { engineSources } from './engine.js'
import { findToolchain, installHint } from './toolchain.js'

const { missing, compilers } = findToolchain()
if (missing.length > 0) {
  process.stderr.write(`phi2: the C++ tests need ${missing.join(', ')}. Install with:\n  ${installHint(missing)}\n`)
  process.exit(1)
}
const folder = join(packageRoot(), 'build', 'core-tests')
const env = compilers ? { ...process.env, CC: compilers.cc, CXX: compilers.cxx } : process.env
for (const [command, ...args] of [
  [
    'cmake',
    '-S',
    join(packageRoot(), 'native', 'test'),
    '-B',
    folder,
    '-DCMAKE_BUILD_TYPE=RelWithDebInfo',
    `-DLLAMA_CPP_DIR=${engineSources()}`,
  ],
  ['cmake', '--build', folder, '--parallel', '2'],
  ['ctest', '--test-dir', folder, '--output-on-failure'],
]) {
  const { status } = spawnSync(command!, args, { stdio: 'inherit', env })
  if (status !== 0) process.exit(status ?? 1)
}
