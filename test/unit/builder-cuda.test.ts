import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { afterEach, test } from 'node:test'
import { findCuda } from '../../src/builder/cuda.js'
import { temporaryFolder } from '../helpers/model.js'

const skip = process.platform !== 'linux' && 'the stand-ins for nvcc are shell scripts'
const VARIABLES = [
  'CMAKE_CUDA_ARCHITECTURES',
  'CUDAARCHS',
  'CUDACXX',
  'CUDAHOSTCXX',
  'CUDAToolkit_ROOT',
  'CUDA_PATH',
  'PATH',
]
const before = Object.fromEntries(VARIABLES.map((name) => [name, process.env[name]]))

afterEach(() => {
  for (const [name, value] of Object.entries(before)) {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
})

function program(folder: string, name: string, body: string): string {
  mkdirSync(folder, { recursive: true })
  const path = join(folder, name)
  writeFileSync(path, `#!/bin/sh\n${body}\n`)
  chmodSync(path, 0o755)
  return path
}

/** A toolkit whose nvcc accepts one host compiler. */
function toolkit({ accepts = 'g++', cublas = true, version = '12.4' } = {}): string {
  const root = join(temporaryFolder(), 'cuda')
  program(
    join(root, 'bin'),
    'nvcc',
    `case "$1" in
      --version) echo "Cuda compilation tools, release ${version}, V${version}.1" ;;
      -ccbin) [ "\${2##*/}" = '${accepts}' ] || { echo '#error -- unsupported GNU version!' >&2; exit 1; } ;;
    esac`,
  )
  if (cublas) {
    mkdirSync(join(root, 'include'))
    writeFileSync(join(root, 'include', 'cublas_v2.h'), '')
  }
  return root
}

/** Nothing but these is on the PATH, and no variable is set. */
function only(...folders: string[]): void {
  for (const name of VARIABLES) delete process.env[name]
  // What the stand-ins themselves are run by.
  process.env.PATH = [...folders, '/bin'].join(delimiter)
}

function compilers(...names: string[]): string {
  const folder = temporaryFolder()
  for (const name of names) program(folder, name, 'exit 0')
  return folder
}

test('a toolkit without cuBLAS is passed over, and the other one finds its own programs first', { skip }, () => {
  const [without, whole] = [toolkit({ cublas: false }), toolkit()]
  only(join(without, 'bin'), join(whole, 'bin'), compilers('g++'))
  const { definitions, environment, nvcc } = findCuda()
  assert.equal(nvcc, join(whole, 'bin', 'nvcc'))
  assert.ok(definitions.includes(`CUDAToolkit_ROOT=${whole}`))
  assert.equal(environment.PATH?.split(delimiter)[0], join(whole, 'bin'))
})

test('the newest host compiler that nvcc accepts is taken', { skip }, () => {
  const folder = compilers('g++', 'g++-13', 'g++-11', 'g++-9')
  only(join(toolkit({ accepts: 'g++-11' }), 'bin'), folder)
  assert.ok(findCuda().definitions.includes(`CMAKE_CUDA_HOST_COMPILER=${join(folder, 'g++-11')}`))
})

test('a host compiler that is named is not questioned', { skip }, () => {
  only(join(toolkit({ accepts: 'g++-11' }), 'bin'))
  process.env.CUDAHOSTCXX = 'my-g++'
  assert.ok(findCuda().definitions.includes('CMAKE_CUDA_HOST_COMPILER=my-g++'))
})

test('without a host compiler that fits the error says what nvcc says', { skip }, () => {
  only(join(toolkit({ accepts: 'none of them', version: '11.8' }), 'bin'), compilers('g++'))
  assert.throws(() => findCuda(), /nvcc 11\.8 .*\/g\+\+.*unsupported GNU version.*CUDAHOSTCXX/s)
})

test('without cuBLAS the error names the toolkit and the way to get it', { skip }, () => {
  const root = toolkit({ cublas: false })
  only(compilers('g++'))
  process.env.CUDACXX = join(root, 'bin', 'nvcc')
  assert.throws(
    () => findCuda(),
    /Expected cuBLAS beside .*nvcc, but there is no cublas_v2\.h.*pip install nvidia-cublas/s,
  )
})

test('cuBLAS may lie where pip puts it', { skip }, () => {
  const root = toolkit({ cublas: false, version: '13.0' })
  const nvidia = join(temporaryFolder(), 'lib', 'python3.12', 'site-packages', 'nvidia', 'cu13')
  for (const folder of ['include', 'lib']) mkdirSync(join(nvidia, folder), { recursive: true })
  writeFileSync(join(nvidia, 'include', 'cublas_v2.h'), '')
  writeFileSync(join(nvidia, 'lib', 'libcublas.so.13'), '')
  only(compilers('g++'), join(nvidia, '..', '..', '..', '..', '..', 'bin'))
  process.env.CUDACXX = join(root, 'bin', 'nvcc')
  const { definitions, environment } = findCuda()
  assert.ok(definitions.includes(`CUDA_cublas_LIBRARY=${join(nvidia, 'lib', 'libcublas.so.13')}`))
  assert.equal(environment.CPATH?.split(delimiter)[0], join(nvidia, 'include'))
})

test('architectures are those that were named, else those of the GPUs that are here', { skip }, () => {
  const gpus = temporaryFolder()
  program(gpus, 'nvidia-smi', "printf '9.0\\n8.6\\n9.0\\n'")
  only(join(toolkit(), 'bin'), compilers('g++'), gpus)
  assert.ok(findCuda().definitions.includes('CMAKE_CUDA_ARCHITECTURES=90-real;86-real'))
  assert.ok(!findCuda({ portable: true }).definitions.some((text) => text.startsWith('CMAKE_CUDA_ARCHITECTURES')))
  process.env.CMAKE_CUDA_ARCHITECTURES = '75'
  assert.ok(findCuda().definitions.includes('CMAKE_CUDA_ARCHITECTURES=75'))
})

test('where the toolkit has no stub of the driver, the driver itself is linked', { skip }, () => {
  const root = toolkit()
  const driver = temporaryFolder()
  writeFileSync(join(driver, 'libcuda.so.1'), '')
  only(join(root, 'bin'), compilers('g++'))
  process.env.LD_LIBRARY_PATH = driver
  assert.ok(findCuda().definitions.includes(`CUDA_cuda_driver_LIBRARY=${join(driver, 'libcuda.so.1')}`))
  mkdirSync(join(root, 'lib64', 'stubs'), { recursive: true })
  writeFileSync(join(root, 'lib64', 'stubs', 'libcuda.so'), '')
  assert.ok(!findCuda().definitions.some((text) => text.startsWith('CUDA_cuda_driver')))
})
