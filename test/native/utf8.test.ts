import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { loadAddon } from '../../src/native.js'

const { Utf8Assembler } = loadAddon()

function assemble(parts: readonly Uint8Array[]): string {
  const assembler = new Utf8Assembler()
  return parts.map((part) => assembler.push(part)).join('') + assembler.finish()
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
}

/** Bytes at the edges of UTF-8's table, so that most random sequences are nearly characters. */
const byte = fc.constantFrom(
  ...[0x61, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbb, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0],
  ...[0xe1, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff],
)
const anyBytes = fc.oneof(
  fc.array(byte).map((bytes) => Uint8Array.from(bytes)),
  fc.uint8Array(),
)

test('any bytes in any pieces decode as TextDecoder decodes the whole', () => {
  fc.assert(
    fc.property(fc.array(anyBytes), (parts) => {
      const whole = Buffer.concat(parts)
      assert.equal(assemble(parts), decode(whole))
      assert.equal(assemble([...whole].map((value) => Uint8Array.of(value))), decode(whole))
    }),
    { numRuns: 2000 },
  )
})

test('a text cut at any byte comes out whole', () => {
  const text = '\ufeffnaïve 漢字 👩‍🔬 z'
  const bytes = Buffer.from(text)
  for (let at = 0; at <= bytes.length; at++) assert.equal(assemble([bytes.subarray(0, at), bytes.subarray(at)]), text)
})

test('a character comes out with the byte that completes it', () => {
  const assembler = new Utf8Assembler()
  const [first, second, third, fourth] = Buffer.from('😀')
  assert.equal(assembler.push(Uint8Array.of(0x61, first!, second!)), 'a')
  assert.equal(assembler.push(Uint8Array.of(third!)), '')
  assert.equal(assembler.push(Uint8Array.of(fourth!, 0x62)), '😀b')
  assert.equal(assembler.finish(), '')
})

test('an unfinished character at the end becomes one replacement character, once', () => {
  const assembler = new Utf8Assembler()
  assert.equal(assembler.push(Uint8Array.of(0x61, 0xf0, 0x9f, 0x98)), 'a')
  assert.equal(assembler.finish(), '\ufffd')
  assert.equal(assembler.finish(), '')
})
