import assert from 'node:assert/strict'
import { mkdirSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { BackendReport } from '../../src/system.js'
import { type ProgramOptions, runProgram } from '../helpers/child.js'
import { BACKENDS, compileBackend, compileLibrary, installFake, skipWithoutCompiler } from '../helpers/fake-backend.js'
import { temporaryFolder } from '../helpers/model.js'

const skip = skipWithoutCompiler

/** What a process with this cache says of CUDA, after it has answered a question all the same. */
async function reportOf(cache: string, environment: NodeJS.ProcessEnv = {}): Promise<BackendReport> {
  const options: ProgramOptions = { environment: { PHI2_CACHE: cache, ...environment } }
  const { code, stderr, stdout } = await runProgram(
    `import { Phi2 } from './src/phi2.ts'
    import { systemReport } from './src/system.ts'
    const phi2 = await Phi2.load({ model: 'tiny', gpuLayers: 0 })
    const { text } = await phi2.ask('What is the capital of France?')
    await phi2.close()
    const cuda = systemReport().backends.find(({ name }) => name === 'cuda')
    console.log(JSON.stringify({ text, cuda }))`,
    options,
  )
  assert.deepEqual([code, stderr], [0, ''])
  const { cuda, text } = JSON.parse(stdout)
  assert.equal(text, 'The capital of France is Paris.')
  return cuda
}

test('a plug-in is loaded, and says why it serves no device', { skip }, async () => {
  const cache = temporaryFolder()
  const folder = installFake(cache, (path) => compileBackend(path, BACKENDS.empty))
  const { devices, path, source, state, version } = await reportOf(cache)
  assert.deepEqual([devices, source, state], [[], 'plug-in', 'no-device'])
  assert.equal(path, join(folder, 'libggml-cuda.so'))
  assert.match(version ?? '', /^v\d+\.\d+\.\d+$/)
})

test('PHI2_PLUGINS=off leaves plug-ins out', { skip }, async () => {
  const cache = temporaryFolder()
  installFake(cache, (path) => compileBackend(path, BACKENDS.empty))
  const { reason, state } = await reportOf(cache, { PHI2_PLUGINS: 'off' })
  assert.equal(state, 'absent')
  assert.match(reason ?? '', /phi2 gpu add cuda/)
})

test('of missing libraries all are named, with the way to get them', { skip }, async () => {
  const cache = temporaryFolder()
  const libraries = ['libphi2-first.so.7', 'libphi2-second.so.8'].map((name) => join(cache, name))
  for (const path of libraries) compileLibrary(path, '')
  installFake(cache, (path) => compileBackend(path, BACKENDS.empty, libraries))
  for (const path of libraries) rmSync(path)
  const { missing, reason, state } = await reportOf(cache)
  assert.equal(state, 'failed')
  assert.deepEqual(
    missing.map(({ library }) => library),
    ['libphi2-first.so.7', 'libphi2-second.so.8'],
  )
  assert.equal(reason, 'it needs libphi2-first.so.7, libphi2-second.so.8, not found here')
})

test('libraries of a toolkit and of Python packages are found without LD_LIBRARY_PATH', { skip }, async () => {
  const root = temporaryFolder()
  const toolkit = join(root, 'cuda', 'lib64')
  const python = join(root, 'venv', 'lib', 'python3.12', 'site-packages', 'nvidia', 'cu13', 'lib')
  for (const folder of [toolkit, python]) mkdirSync(folder, { recursive: true })
  // One needs the other, as cuBLAS needs cuBLASLt.
  const inner = join(python, 'libphi2-inner.so.2')
  const outer = join(toolkit, 'libphi2-outer.so.1')
  compileLibrary(inner, '')
  compileLibrary(outer, '', [inner])
  const cache = join(root, 'cache')
  installFake(cache, (path) => compileBackend(path, BACKENDS.empty, [outer]))
  const { missing, state } = await reportOf(cache, {
    CUDA_PATH: join(root, 'cuda'),
    VIRTUAL_ENV: join(root, 'venv'),
  })
  assert.deepEqual([missing, state], [[], 'no-device'])
})

for (const [what, body, message] of [
  ['throws', BACKENDS.throwing, /the driver said no/],
  ['has another interface', BACKENDS.otherApi, /incompatible API version/],
] as const) {
  test(`a plug-in that ${what} does no harm, and its reason is kept`, { skip }, async () => {
    const cache = temporaryFolder()
    installFake(cache, (path) => compileBackend(path, body))
    const { reason, state } = await reportOf(cache)
    assert.equal(state, 'failed')
    assert.match(reason ?? '', message)
  })
}

test('a library that is no backend, or was cut short, is refused', { skip }, async () => {
  const cache = temporaryFolder()
  installFake(cache, (path) => compileLibrary(path, ''))
  assert.match((await reportOf(cache)).reason ?? '', /ggml_backend_init/)

  const other = temporaryFolder()
  const folder = installFake(other, (path) => compileBackend(path, BACKENDS.empty))
  truncateSync(join(folder, 'libggml-cuda.so'), 5000)
  const { reason, state } = await reportOf(other)
  assert.equal(state, 'failed')
  assert.match(reason ?? '', /has 5000 bytes instead of \d+; `phi2 gpu add cuda --force`/)
})

test('a plug-in of another llama.cpp is not loaded', { skip }, async () => {
  const cache = temporaryFolder()
  installFake(cache, (path) => compileBackend(path, BACKENDS.crashing), { tag: 'v0.0.1' })
  const { reason, state } = await reportOf(cache)
  assert.equal(state, 'failed')
  assert.match(reason ?? '', /was built from llama\.cpp v0\.0\.1, and this engine is v.*phi2 gpu add cuda/)
})

test('worker threads see the same backends', { skip }, async () => {
  const cache = temporaryFolder()
  installFake(cache, (path) => compileBackend(path, BACKENDS.empty))
  const { code, stderr, stdout } = await runProgram(
    `import { Worker } from 'node:worker_threads'
    import { systemReport } from './src/system.ts'
    const states = () => systemReport().backends.map(({ name, state }) => name + ' ' + state).join()
    console.log(states())
    const source = "import('tsx/esm/api').then(async ({ register }) => { register(); " +
      "const { systemReport } = await import('./src/system.ts'); " +
      "const { parentPort } = await import('node:worker_threads'); " +
      "parentPort.postMessage(systemReport().backends.map(({ name, state }) => name + ' ' + state).join()) })"
    const worker = new Worker(source, { eval: true })
    worker.on('message', (text) => console.log(text))`,
    { environment: { PHI2_CACHE: cache } },
  )
  assert.deepEqual([code, stderr], [0, ''])
  const [first, second] = stdout.trim().split('\n')
  assert.match(first ?? '', /cuda no-device/)
  assert.equal(second, first)
})
