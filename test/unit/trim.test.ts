import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Trimmer, trimText } from '../../src/trim.js'
import type { Trim } from '../../src/types.js'

const reference: Record<Trim, (text: string) => string> = {
  both: (text) => text.trim(),
  code: (text) => text.trimEnd().replace(/^\s*\n/, ''),
  none: (text) => text,
}

/** Much white space, of the kinds that JavaScript trims, around letters and a character of two UTF-16 units. */
const pieces = fc.array(
  fc.string({ unit: fc.constantFrom(' ', '\n', '\r\n', '\t', '\u00a0', '\ufeff', 'a', 'é', '😀') }),
)

function stream(mode: Trim, parts: readonly string[]): string {
  const trimmer = new Trimmer(mode)
  return parts.map((part) => trimmer.push(part)).join('') + trimmer.finish()
}

for (const mode of ['both', 'code', 'none'] as const) {
  test(`${mode}: any text in any pieces comes out as the trimmed whole`, () => {
    fc.assert(
      fc.property(pieces, (parts) => {
        const whole = parts.join('')
        assert.equal(stream(mode, parts), reference[mode](whole))
        assert.equal(stream(mode, [...whole]), reference[mode](whole))
        assert.equal(trimText(whole, mode), reference[mode](whole))
      }),
      { numRuns: 1000 },
    )
  })
}

test('text is given out as soon as it is certain', () => {
  const trimmer = new Trimmer('both')
  assert.equal(trimmer.push(' Mathe'), 'Mathe')
  assert.equal(trimmer.push('matics '), 'matics')
  assert.equal(trimmer.push(' \n'), '')
  assert.equal(trimmer.push('is'), '  \nis')
  assert.equal(trimmer.push('.\n\n'), '.')
  assert.equal(trimmer.finish(), '')
})

test('code keeps the indentation of its first line and loses the blank lines before it', () => {
  assert.equal(
    trimText('\n  \n   for i in range(n):\n      print(i)\n\n', 'code'),
    '   for i in range(n):\n      print(i)',
  )
  assert.equal(trimText(' return n\n', 'code'), ' return n')
  assert.equal(trimText(' \n \n', 'code'), '')
})
