import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { BACKENDS, compileBackend, installFake, skipWithoutCompiler } from '../helpers/fake-backend.js'
import { temporaryFolder } from '../helpers/model.js'
import { phi2 } from './run.js'

const skip = skipWithoutCompiler

test('gpu ls shows what is installed and what became of it, gpu rm removes it', { skip }, async () => {
  const cache = temporaryFolder()
  const env = { PHI2_CACHE: cache }
  const none = await phi2(['gpu', 'ls'], { env })
  assert.deepEqual([none.code, none.stdout], [0, ''])
  assert.match(none.stderr, /no GPU backend is installed/)

  const folder = installFake(cache, (path) => compileBackend(path, BACKENDS.empty))
  const listed = await phi2(['gpu'], { env })
  assert.deepEqual([listed.code, listed.stderr], [0, ''])
  assert.match(
    listed.stdout,
    /^name +size +llama\.cpp +state +because\ncuda +\d+ kB +v\S+ +no-device +it found no device/,
  )
  const [entry] = JSON.parse((await phi2(['gpu', 'ls', '--json'], { env })).stdout)
  assert.deepEqual([entry.name, entry.path, entry.state], ['cuda', folder, 'no-device'])

  const removed = await phi2(['gpu', 'rm', 'cuda'], { env })
  assert.deepEqual([removed.code, removed.stdout], [0, ''])
  assert.match(removed.stderr, /^phi2: removed cuda /)
  assert.ok(!existsSync(folder))
  assert.deepEqual(readdirSync(join(cache, 'gpu')), [])
})

test('a plug-in that brings its process down is told of by gpu ls and doctor, which go on without it', {
  skip,
}, async () => {
  const cache = temporaryFolder()
  installFake(cache, (path) => compileBackend(path, BACKENDS.crashing))
  const env = { PHI2_CACHE: cache }
  const listed = await phi2(['gpu', 'ls'], { env })
  assert.equal(listed.code, 0)
  assert.match(listed.stdout, /the process that tried it ended by itself \(SIG/)
  const doctor = await phi2(['doctor'], { env })
  assert.equal(doctor.code, 0, doctor.stderr)
  assert.match(doctor.stdout, /^The GPU plug-ins end the process \(SIG.*phi2 gpu rm/)
  assert.match(doctor.stdout, /^PASS/m)
  const { crash, ok } = JSON.parse((await phi2(['doctor', '--json'], { env })).stdout)
  assert.ok(ok)
  assert.match(crash, /^SIG/)
})

test('doctor names the missing library of a plug-in and the way to get it', { skip }, async () => {
  const cache = temporaryFolder()
  const library = join(cache, 'libcudart.so.98')
  installFake(cache, (path) => {
    compileBackend(library, BACKENDS.empty)
    compileBackend(path, BACKENDS.empty, [library])
  })
  const { code, stdout } = await phi2(['doctor'], { env: { PHI2_CACHE: cache } })
  assert.equal(code, 0)
  assert.match(stdout, /^cuda +failed +v\S+ +\/.*libggml-cuda\.so \(phi2 gpu\)$/m)
  assert.match(stdout, /^cuda +it needs libcudart\.so\.98, not found here$/m)
  assert.match(stdout, /^ +libcudart\.so\.98: it belongs to CUDA 98: `pip install "nvidia-cuda-runtime==98\.\*"`/m)
})
