import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { remedyFor } from '../../src/gpu/libraries.js'
import { libraryFolders } from '../../src/gpu/places.js'
import { temporaryFolder } from '../helpers/model.js'

function place(...path: string[]): string {
  const folder = join(...path)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'libcublas.so.13'), '')
  return folder
}

test('libraries are looked for in toolkits, Python environments and wherever LD_LIBRARY_PATH says', () => {
  const root = temporaryFolder()
  const named = place(root, 'named')
  const toolkit = place(root, 'cuda', 'lib64')
  const target = place(root, 'cuda', 'targets', 'x86_64-linux', 'lib')
  const venv = place(root, 'venv', 'lib', 'python3.12', 'site-packages', 'nvidia', 'cu13', 'lib')
  const onPath = place(root, 'other', 'lib', 'python3.11', 'site-packages', 'nvidia', 'cublas', 'lib')
  const home = place(root, 'home', '.local', 'lib', 'python3.9', 'site-packages', 'nvidia', 'cublas', 'lib')
  const found = libraryFolders({
    LD_LIBRARY_PATH: `${named}:relative:`,
    CUDA_PATH: join(root, 'cuda'),
    VIRTUAL_ENV: join(root, 'venv'),
    PATH: `${join(root, 'other', 'bin')}:/usr/bin`,
    HOME: join(root, 'home'),
  })
  const own = found.filter((folder) => folder.startsWith(root))
  assert.deepEqual(own, [named, toolkit, target, venv, onPath, home])
})

test('folders that do not exist are no places', () => {
  assert.deepEqual(
    libraryFolders({ LD_LIBRARY_PATH: '/no/such/folder', CUDA_PATH: '/no/such/toolkit' }).filter((folder) =>
      folder.startsWith('/no/'),
    ),
    [],
  )
})

test('for what is missing there is a way to get it', () => {
  assert.match(remedyFor('libcuda.so.1'), /driver/)
  assert.match(remedyFor('libcublas.so.13'), /pip install "nvidia-cublas==13\.\*"/)
  assert.match(remedyFor('libcublasLt.so.12'), /pip install nvidia-cublas-cu12/)
  assert.match(remedyFor('libcudart.so.13'), /nvidia-cuda-runtime/)
  assert.match(remedyFor('libcudart.so.11.0'), /pip install nvidia-cuda-runtime-cu11/)
  assert.match(remedyFor('libvulkan.so.1'), /libvulkan1/)
  assert.match(remedyFor('libother.so.2'), /distribution/)
})
