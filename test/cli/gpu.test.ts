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
  assert.match(doctor.stdout, /^GPU plug-ins: the process that tried it ended by itself \(SIG.*phi2 gpu rm/)
  assert.match(doctor.stdout, /^PASS/m)
  const { crash, ok } = JSON.parse((await phi2(['doctor', '--json'], { env })).stdout)
  assert.ok(ok)
  assert.match(crash, /\(SIG/)
})

test('who has a plug-in that is of no use hears so beside the answer', { skip }, async () => {
  const cache = temporaryFolder()
  installFake(cache, (path) => compileBackend(path, BACKENDS.throwing))
  const env = { PHI2_CACHE: cache }
  const ask = ['ask', '--model', 'tiny', 'What is the capital of France?']
  const { code, stderr, stdout } = await phi2(ask, { env })
  assert.deepEqual([code, stdout], [0, 'The capital of France is Paris.\n'])
  assert.equal(stderr, 'phi2: the plug-in cuda is not used: the driver said no. More: phi2 doctor\n')
  assert.equal((await phi2([...ask, '--gpu-layers', '0'], { env })).stderr, '')
})

const driver = '/usr/share/vulkan/icd.d/lvp_icd.x86_64.json'
const noDriver = existsSync(driver) || process.env.CI ? false : `${driver} is not there; .ci/run installs it`

test('the real plug-in for Vulkan is fetched, and answers as the CPU does', { skip: noDriver }, async () => {
  const env = {
    PHI2_CACHE: temporaryFolder(),
    VK_DRIVER_FILES: driver,
    VK_ICD_FILENAMES: driver,
    GGML_VK_VISIBLE_DEVICES: '0',
  }
  const added = await phi2(['gpu', 'add', 'vulkan', '--json'], { env })
  assert.equal(added.code, 0, added.stderr)
  const { cached, report } = JSON.parse(added.stdout)
  assert.deepEqual([cached, report.state, report.devices.length], [false, 'ready', 1])
  const ask = ['ask', '--model', 'tiny', 'What is a prime number?', '--max-tokens', '24', '--device']
  const [gpu, cpu] = [await phi2([...ask, 'vulkan0'], { env }), await phi2([...ask, 'cpu'], { env })]
  assert.deepEqual([gpu.code, gpu.stderr], [0, ''])
  assert.equal(gpu.stdout, cpu.stdout)
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
