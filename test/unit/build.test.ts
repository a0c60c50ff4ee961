import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failureExcerpt, readProgress } from '../../src/builder/compile.js'
import { describeMissing } from '../../src/builder/toolchain.js'

test('the share that is done is read from lines of Ninja and of make', () => {
  assert.deepEqual(readProgress('[12/48] Building CXX object native/core/error.cpp.o'), {
    fraction: 0.25,
    detail: '12 of 48 files',
  })
  assert.deepEqual(readProgress('[  7%] Linking CXX shared library libggml.so'), { fraction: 0.07, detail: '' })
  assert.deepEqual(readProgress('[100%] Built target phi2'), { fraction: 1, detail: '' })
  assert.equal(readProgress('-- [1/2] Detecting CXX compiler'), undefined)
  assert.equal(readProgress('ggml.c'), undefined)
})

for (const [tool, line] of [
  ['clang', '/src/a.cpp:3:1: error: unknown type name'],
  ['MSVC', 'C:\\src\\a.cpp(3): error C2065: undeclared identifier'],
  ['nvcc', 'nvcc fatal error: unsupported architecture'],
  ['GCC out of memory', 'g++: fatal error: Killed signal terminated program cc1plus'],
  ['CMake', 'CMake Error at CMakeLists.txt:3 (project):'],
  ['ninja', 'ninja: error: loading build.ninja'],
] as const) {
  test(`of a failed build the first error of ${tool} is shown with what follows it, and not the noise before`, () => {
    const before = [
      '[1/9] Building CXX object native/core/error.cpp.o',
      'warning: this is no error',
      '-- Found Threads',
    ]
    assert.equal(failureExcerpt([...before, line, '', 'more'].join('\n')), `  ${line}\n  more`)
  })
}

test('of a failed build without any error the end is shown', () => {
  const lines = Array.from({ length: 100 }, (_, i) => `line ${i}`)
  const shown = failureExcerpt(lines.join('\n')).split('\n')
  assert.equal(shown.at(-1), '  line 99')
  assert.equal(shown.length, 15)
})

test('tools are named as people know them', () => {
  const text = describeMissing(['compiler', 'nvcc', 'glslc'])
  assert.match(text, /a C\+\+17 compiler \(g\+\+ or clang\+\+\), nvcc \(of NVIDIA’s CUDA toolkit\), glslc/)
})
