import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createReadStream, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { unpackTar } from '../../src/gpu/tar.js'
import { temporaryFolder } from '../helpers/model.js'

const long = `${'a'.repeat(60)}/${'b'.repeat(120)}`
const files = {
  'package/one.txt': 'one\n',
  'package/empty': '',
  [`package/${long}`]: 'x'.repeat(1500),
  'package/ü': 'ü',
}

function archive(...options: string[]): string {
  const folder = temporaryFolder()
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  symlinkSync('/etc/passwd', join(folder, 'package', 'link'))
  const path = join(folder, 'archive.tar')
  execFileSync('tar', [...options, '-cf', path, '-C', folder, 'package'])
  return path
}

async function unpack(chunks: AsyncIterable<Buffer>): Promise<Record<string, string>> {
  const folder = temporaryFolder()
  const names: string[] = []
  await unpackTar(chunks, (name) => join(folder, String(names.push(name) - 1)))
  return Object.fromEntries(names.map((name, i) => [name, readFileSync(join(folder, String(i)), 'utf8')]))
}

for (const format of ['gnu', 'pax', 'ustar']) {
  const options = [`--format=${format}`, ...(format === 'ustar' ? ['--exclude=b*'] : [])]
  test(`regular files of a tar archive in the format ${format} are unpacked, links are not`, async () => {
    const path = archive(...options)
    const expected = Object.fromEntries(
      Object.entries(files).filter(([name]) => format !== 'ustar' || !name.includes(long)),
    )
    for (const highWaterMark of [1, 511, 1 << 16]) {
      assert.deepEqual(await unpack(createReadStream(path, { highWaterMark })), expected)
    }
  })
}

test('what nobody wants is left out', async () => {
  const folder = temporaryFolder()
  await unpackTar(createReadStream(archive()), (name) => (name === 'package/one.txt' ? join(folder, 'one') : undefined))
  assert.deepEqual(readdirSync(folder), ['one'])
})

test('an archive that ends too early, or is none, is refused', async () => {
  const whole = readFileSync(archive())
  const header = whole.indexOf('package/one.txt')
  for (const [bytes, message] of [
    [whole.subarray(0, header + 200), /ends too early/],
    [whole.subarray(0, header + 514), /ends too early/],
    [Buffer.alloc(0), /ends too early/],
    [Buffer.alloc(2048, 'x'), /no tar archive/],
  ] as const) {
    await assert.rejects(unpack(Readable.from([bytes])), message)
  }
})
