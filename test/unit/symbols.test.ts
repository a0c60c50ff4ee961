import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ElfLibrary } from '../../scripts/elf.js'
import { isNewer, judgeSymbols } from '../../scripts/symbols.js'

const baseline = { GLIBC: '2.28', GCC: '8' }

function library(imports: ElfLibrary['imports'], needed: string[] = []): ElfLibrary {
  const exports = [{ name: 'ggml_init', isDefault: true, type: 'function', size: 8 } as const]
  return { needed, imports, exports }
}

function problems(lib: ElfLibrary): string[] {
  return judgeSymbols(new Map([['libx.so', lib]]), baseline).problems
}

test('versions compare by number, part by part', () => {
  assert.equal(isNewer('2.4', '2.28'), false)
  assert.equal(isNewer('2.28', '2.28'), false)
  assert.equal(isNewer('2.28.1', '2.28'), true)
  assert.equal(isNewer('3.0', '2.28'), true)
  assert.equal(isNewer('8.0.0', '8'), false)
})

test('symbols up to the baseline are right, and the newest is told', () => {
  const imports = ['2.2.5', '2.17', '2.3'].map((version) => ({ name: 'f', version: `GLIBC_${version}`, weak: false }))
  const report = judgeSymbols(new Map([['libx.so', library(imports, ['libc.so.6'])]]), baseline)
  assert.deepEqual(report, { newest: { GLIBC: '2.17' }, needed: ['libc.so.6'], problems: [] })
})

test('a symbol above the baseline is a problem that names it', () => {
  const found = problems(library([{ name: 'dlopen', version: 'GLIBC_2.34', weak: false }]))
  assert.deepEqual(found, ['libx.so needs dlopen of GLIBC_2.34, allowed is GLIBC_2.28'])
})

test('the C++ library of the system is not to be relied on', () => {
  const imports = [{ name: '_Znwm', version: 'GLIBCXX_3.4', weak: false }]
  assert.deepEqual(problems(library(imports, ['libstdc++.so.6'])), [
    'libx.so needs libstdc++.so.6, which not every system has',
    'libx.so needs _Znwm of GLIBCXX_3.4, allowed is none',
  ])
})

test('a symbol without a version must be Node’s, another library’s of the package, or dispensable', () => {
  const named = (name: string, weak = false) => ({ name, weak })
  assert.deepEqual(
    problems(library([named('napi_create_object'), named('ggml_init'), named('__gmon_start__', true)])),
    [],
  )
  assert.deepEqual(problems(library([named('stat')])), [
    'libx.so needs stat, which no library here or in the baseline has',
  ])
})
