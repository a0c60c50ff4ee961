import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkFreeSpace, freeSpace } from '../../gguf/free-space.js'
import { noTmpfs, smallDisk } from '../helpers/tmpfs.js'

test('more than any disk holds is refused with both figures and the folder', async () => {
  await assert.rejects(checkFreeSpace(tmpdir(), 2 ** 52, 'Testing'), (error: Error & { code: string }) => {
    assert.equal(error.code, 'PHI2_NO_SPACE')
    assert.match(error.message, /^Testing needs 4503599\.63 GB \(4503599627370496 bytes\) in .*, where .* are free\./)
    assert.ok(error.message.includes(tmpdir()))
    return true
  })
})

test('what fits passes, and what cannot be told passes too', async () => {
  await checkFreeSpace(tmpdir(), 0, 'Testing')
  assert.equal(await freeSpace(join(tmpdir(), 'phi2-no-such-folder')), undefined)
  await checkFreeSpace(join(tmpdir(), 'phi2-no-such-folder'), 2 ** 52, 'Testing')
})

test('the free space of a disk shrinks by what is written there', { skip: noTmpfs }, async (t) => {
  const disk = smallDisk(t, 1024 * 1024)
  assert.equal(await freeSpace(disk), 1024 * 1024)
  await writeFile(join(disk, 'x'), new Uint8Array(256 * 1024))
  assert.equal(await freeSpace(disk), 768 * 1024)
  await checkFreeSpace(disk, 768 * 1024, 'Testing')
  await assert.rejects(checkFreeSpace(disk, 768 * 1024 + 1, 'Testing'), { code: 'PHI2_NO_SPACE' })
})
