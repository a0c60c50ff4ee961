import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { readNames } from '../../src/gpu/elf.js'
import { temporaryFolder } from '../helpers/model.js'

const skip = process.platform !== 'linux' && 'libraries here are no ELF files'
const folder = temporaryFolder()

function written(bytes: Uint8Array): string {
  const path = join(folder, 'library.so')
  writeFileSync(path, bytes)
  return path
}

test('the libraries that a program asks for are read from its dynamic section', { skip }, () => {
  const { needed } = readNames(process.execPath)
  assert.ok(needed.includes('libc.so.6'), needed.join())
  assert.ok(
    needed.every((name) => /^[\w+-]+\.so(\.\d+)*$/.test(name)),
    needed.join(),
  )
})

test('what is no shared library is refused', () => {
  for (const bytes of [Buffer.alloc(0), Buffer.from('MZ'), Buffer.alloc(4096), Buffer.from('\x7fELF')]) {
    assert.throws(() => readNames(written(bytes)), /damaged|no 64-bit shared library/)
  }
})

test('a damaged library is refused or read, but neither hangs nor takes much memory', { skip }, () => {
  // The smallest that is always there.
  const whole = readFileSync('/proc/self/exe').subarray(0, 1 << 16)
  for (let at = 0; at < 1024; at += 1) {
    const damaged = Buffer.from(whole)
    damaged[at] = damaged[at]! ^ 0xff
    try {
      readNames(written(damaged))
    } catch (error) {
      assert.ok(error instanceof Error)
      assert.match(error.message, /damaged|no 64-bit shared library/)
    }
  }
})
