import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { Phi2Error } from '../../src/errors.js'
import {
  cellBytes,
  checkOrigin,
  encodeHeader,
  headerSize,
  pieceRanges,
  readHeader,
  type StateHeader,
  type StateOrigin,
} from '../../src/state-format.js'

const origin: StateOrigin = { engine: 'llama.cpp 1', model: 'abc', kvType: 'f16', layers: 2, embeddingSize: 4 }
const tokens = Int32Array.from({ length: 150 }, (_, index) => index * 300)
const hashes = [1, 2, 3].map((byte) => Buffer.alloc(32, byte))
const header: StateHeader = { ...origin, tokens, hashes }
const encoded = encodeHeader(header)
const fileSize = encoded.length + tokens.length * cellBytes(origin)

/** Reads a header as the library does, and fails if it asks for more than the file has, or for much at once. */
function parse(bytes: Buffer, size: number) {
  return readHeader(size, async (offset, length) => {
    assert.ok(offset >= 0 && offset + length <= size, `${length} bytes at ${offset} of ${size}`)
    const part = Buffer.alloc(length)
    bytes.copy(part, 0, offset, offset + length)
    return part
  })
}

test('a header comes back as it was, with its size and hash', async () => {
  assert.deepEqual(await parse(encoded, fileSize), {
    header,
    size: encoded.length,
    sha256: createHash('sha256').update(encoded).digest('hex'),
  })
  assert.equal(headerSize(origin, tokens.length), encoded.length)
})

test('a cell has a row of keys and one of values for each layer', () => {
  assert.equal(cellBytes({ ...origin, layers: 32, embeddingSize: 2560 }), 320 * 1024)
  assert.equal(cellBytes({ ...origin, kvType: 'bf16' }), 32)
  assert.equal(cellBytes({ ...origin, kvType: 'f32' }), 64)
})

test('pieces hold 64 tokens, the last what is left', () => {
  assert.deepEqual(pieceRanges(1), [{ first: 0, count: 1 }])
  assert.deepEqual(pieceRanges(64), [{ first: 0, count: 64 }])
  assert.deepEqual(pieceRanges(130), [
    { first: 0, count: 64 },
    { first: 64, count: 64 },
    { first: 128, count: 2 },
  ])
})

test('what is no state file, of another version, cut off or too long is refused with the reason', async () => {
  const refused = (bytes: Buffer, size: number, message: RegExp) =>
    assert.rejects(parse(bytes, size), { code: 'PHI2_INVALID_STATE', message })
  await refused(Buffer.alloc(0), 0, /only 0 bytes/)
  await refused(Buffer.from('GGUF and something'), 18, /no file of the kind/)
  const other = Buffer.from(encoded)
  other.writeUInt32LE(2, 8)
  await refused(other, fileSize, /version 2, and only 1/)
  await refused(encoded, fileSize - 1, new RegExp(`${fileSize - 1} bytes instead of ${fileSize}`))
  await refused(encoded, fileSize + 1, /instead of/)
  const long = Buffer.from(encoded)
  long.writeUInt32LE(0xffffffff, 12)
  await refused(long, fileSize, /description would have 4294967295 bytes/)
  await refused(Buffer.from(String(encoded).replace('{', '[')), fileSize, /no JSON/)
})

test('a description must say all that there is to say', async () => {
  const text = (change: object) => JSON.stringify({ ...origin, tokens: 1, ...change })
  const changes = [
    ...['engine', 'model', 'kvType', 'layers', 'embeddingSize', 'tokens'].map((name) => ({ [name]: undefined })),
    { kvType: 'q8_0' },
    { kvType: 'constructor' },
    { layers: 0 },
    { layers: 1.5 },
    { layers: 1e300 },
    { embeddingSize: -1 },
    { tokens: 2 ** 40 },
    { tokens: '1' },
    { model: ['a'] },
  ]
  for (const description of [...changes.map(text), 'null', '1', '[]']) {
    const start = Buffer.from(encoded.subarray(0, 16))
    start.writeUInt32LE(description.length, 12)
    await assert.rejects(parse(Buffer.concat([start, Buffer.from(description)]), 1 << 20), {
      code: 'PHI2_INVALID_STATE',
      message: /lacks something/,
    })
  }
})

test('only what was saved with the same model, cache and engine is taken', () => {
  checkOrigin({ ...origin }, origin)
  const cases: [Partial<StateOrigin>, RegExp][] = [
    [{ model: 'abd' }, /another model file/],
    [{ layers: 3 }, /another model file/],
    [{ embeddingSize: 8 }, /another model file/],
    [{ kvType: 'f32' }, /kvType f32, and the model is loaded with f16/],
    [{ engine: 'llama.cpp 2\n' }, /saved by llama\.cpp 2\\n, and this is llama\.cpp 1/],
  ]
  for (const [change, message] of cases) {
    assert.throws(() => checkOrigin({ ...origin, ...change }, origin), { code: 'PHI2_INVALID_STATE', message })
  }
})

test('no change of a header passes unseen: it is refused, or its hash is another', async () => {
  const { sha256 } = await parse(encoded, fileSize)
  let random = 1
  const below = (limit: number): number => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0
    return random % limit
  }
  let refused = 0
  for (let round = 0; round < 5000; round++) {
    const changed = Buffer.from(encoded)
    // The first 120 bytes, where lengths and names are, as often as all the others.
    const place = round % 2 === 0 ? below(120) : below(changed.length)
    const kind = below(3)
    if (kind === 0) changed[place]! ^= 1 << below(8)
    else if (kind === 1) changed[place] = below(256)
    else changed.copy(changed, place, below(changed.length))
    if (changed.equals(encoded)) continue
    try {
      assert.notEqual((await parse(changed, fileSize)).sha256, sha256)
    } catch (error) {
      if (!(error instanceof Phi2Error)) throw error
      assert.equal(error.code, 'PHI2_INVALID_STATE')
      refused++
    }
  }
  assert.ok(refused > 500, `${refused} refused`)
})
