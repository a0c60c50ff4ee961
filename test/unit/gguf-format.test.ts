import assert from 'node:assert/strict'
import { readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { GGML_TYPES, type GgufMetadata, readHeader, tensorByteLength, writeGguf } from '../../gguf/index.js'
import { Phi2Error } from '../../src/errors.js'
import { temporaryFolder } from './gguf-fixture.js'

const EVERY_TYPE: GgufMetadata = new Map([
  ['general.architecture', { type: 'string', value: 'phi2' }],
  ['u8', { type: 'uint8', value: 255 }],
  ['i8', { type: 'int8', value: -128 }],
  ['u16', { type: 'uint16', value: 65535 }],
  ['i16', { type: 'int16', value: -32768 }],
  ['u32', { type: 'uint32', value: 4294967295 }],
  ['i32', { type: 'int32', value: -2147483648 }],
  ['u64', { type: 'uint64', value: 18446744073709551615n }],
  ['i64', { type: 'int64', value: -9223372036854775808n }],
  ['f32', { type: 'float32', value: 0.5 }],
  ['f64', { type: 'float64', value: Math.PI }],
  ['yes', { type: 'bool', value: true }],
  ['no', { type: 'bool', value: false }],
  ['text', { type: 'string', value: 'Ġé 🚀\n\0' }],
  ['empty', { type: 'string', value: '' }],
  ['texts', { type: 'array', of: 'string', value: ['', 'a', '世界'] }],
  ['i32s', { type: 'array', of: 'int32', value: [1, -3, 5] }],
  ['u8s', { type: 'array', of: 'uint8', value: [0, 255] }],
  ['u64s', { type: 'array', of: 'uint64', value: [0n, 1n << 63n] }],
  ['f32s', { type: 'array', of: 'float32', value: [0.25, -1] }],
  ['bools', { type: 'array', of: 'bool', value: [true, false] }],
  ['none', { type: 'array', of: 'string', value: [] }],
])

function bytes(length: number, start = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => start + i)
}

const TENSORS = [
  { name: 'a', type: 'f32', shape: [3], data: () => [bytes(12)] },
  { name: 'b', type: 'q4_0', shape: [32, 2], data: () => [bytes(18), bytes(18, 100)] },
  { name: 'c', type: 'f16', shape: [1, 2, 3, 4], data: () => [bytes(48)] },
] as const

async function isInvalid(promise: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof Phi2Error)
    assert.equal(error.code, 'PHI2_INVALID_GGUF')
    assert.match(error.message, message)
    return true
  })
}

test('keys of every type come back with their types, in order', async (t) => {
  const path = join(await temporaryFolder(t), 'keys.gguf')
  const size = await writeGguf(path, { metadata: EVERY_TYPE, tensors: [] })
  const header = await readHeader(path)
  assert.deepEqual([...header.metadata], [...EVERY_TYPE])
  assert.equal(header.version, 3)
  assert.equal(size, (await stat(path)).size)
})

test('tensors come back with names, types, shapes and aligned data', async (t) => {
  const path = join(await temporaryFolder(t), 'tensors.gguf')
  await writeGguf(path, { metadata: EVERY_TYPE, tensors: TENSORS })
  const { tensors, dataOffset, alignment } = await readHeader(path)
  assert.equal(alignment, 32)
  assert.equal(dataOffset % 32, 0)
  assert.deepEqual(tensors, [
    { name: 'a', type: 'f32', shape: [3], offset: 0, byteLength: 12 },
    { name: 'b', type: 'q4_0', shape: [32, 2], offset: 32, byteLength: 36 },
    { name: 'c', type: 'f16', shape: [1, 2, 3, 4], offset: 96, byteLength: 48 },
  ])
  const data = (await readFile(path)).subarray(dataOffset)
  assert.equal(data.length, 160)
  assert.deepEqual(new Uint8Array(data.subarray(0, 12)), bytes(12))
  assert.deepEqual(new Uint8Array(data.subarray(32, 68)), Uint8Array.from([...bytes(18), ...bytes(18, 100)]))
  assert.ok(data.subarray(12, 32).every((byte) => byte === 0))
})

test('general.alignment moves the data, and only a power of two is taken', async (t) => {
  const path = join(await temporaryFolder(t), 'aligned.gguf')
  const metadata = (value: number): GgufMetadata => new Map([['general.alignment', { type: 'uint32', value }]])
  await writeGguf(path, { metadata: metadata(64), tensors: TENSORS })
  const header = await readHeader(path)
  assert.equal(header.dataOffset % 64, 0)
  assert.deepEqual(
    header.tensors.map(({ offset }) => offset),
    [0, 64, 128],
  )
  await isInvalid(writeGguf(path, { metadata: metadata(48), tensors: [] }), /general.alignment/)
})

test('the bytes of a header are those of the specification', async (t) => {
  const path = join(await temporaryFolder(t), 'one.gguf')
  await writeGguf(path, {
    metadata: new Map([['k', { type: 'array', of: 'uint16', value: [7] }]]),
    tensors: [{ name: 't', type: 'f32', shape: [1], data: () => [bytes(4, 1)] }],
  })
  const expected = [
    ['47475546', '03000000', '0100000000000000', '0100000000000000'],
    ['0100000000000000', '6b', '09000000', '02000000', '0100000000000000', '0700'],
    ['0100000000000000', '74', '01000000', '0100000000000000', '00000000', '0000000000000000'],
  ]
  const header = expected.flat().join('')
  const padded = header.padEnd(Math.ceil(header.length / 64) * 64, '0')
  assert.equal((await readFile(path)).toString('hex'), `${padded}01020304${'00'.repeat(28)}`)
})

test('block sizes follow from the layouts of ggml', () => {
  assert.equal(tensorByteLength('f32', [2560, 3]), 2560 * 3 * 4)
  assert.equal(tensorByteLength('q8_0', [2560, 51200]), (2560 / 32) * 34 * 51200)
  assert.equal(tensorByteLength('q6_k', [2560, 51200]), 10 * 210 * 51200)
  assert.equal(new Set(Object.values(GGML_TYPES).map(({ id }) => id)).size, Object.keys(GGML_TYPES).length)
  assert.throws(() => tensorByteLength('q4_k', [320, 2]), /multiple of the 256/)
})

test('a file that is not GGUF, of another version or byte order is named as such', async (t) => {
  const path = join(await temporaryFolder(t), 'x.gguf')
  const cases: [Buffer, RegExp][] = [
    [Buffer.from('PK\x03\x04 and so on, for a while'), /does not begin with "GGUF"/],
    [Buffer.from(''), /truncated/],
    [Buffer.concat([Buffer.from('GGUF'), Buffer.from([1, 0, 0, 0]), Buffer.alloc(16)]), /version is 1/],
    [Buffer.concat([Buffer.from('GGUF'), Buffer.from([0, 0, 0, 3]), Buffer.alloc(16)]), /big-endian/],
  ]
  for (const [content, message] of cases) {
    await writeFile(path, content)
    await isInvalid(readHeader(path), message)
  }
})

test('a missing file is reported as missing', async (t) => {
  const path = join(await temporaryFolder(t), 'nothing.gguf')
  await assert.rejects(readHeader(path), { name: 'Phi2Error', code: 'PHI2_MODEL_NOT_FOUND' })
})

test('a file cut at any byte is invalid', async (t) => {
  const path = join(await temporaryFolder(t), 'cut.gguf')
  await writeGguf(path, { metadata: EVERY_TYPE, tensors: TENSORS })
  const { tensors, dataOffset } = await readHeader(path)
  const last = tensors.at(-1)!
  for (let size = dataOffset + last.offset + last.byteLength - 1; size >= 0; size -= 7) {
    await truncate(path, size)
    await isInvalid(readHeader(path), /truncated|only \d+ bytes follow/)
  }
})

test('counts larger than the file are refused before anything is allocated', async (t) => {
  const path = join(await temporaryFolder(t), 'huge.gguf')
  const word = (value: bigint) => {
    const buffer = Buffer.alloc(8)
    buffer.writeBigUInt64LE(value)
    return buffer
  }
  const start = Buffer.from('4747554603000000', 'hex')
  const key = Buffer.concat([word(1n), Buffer.from('k')])
  const array = (of: number, count: bigint) =>
    Buffer.concat([
      start,
      word(0n),
      word(1n),
      key,
      Buffer.from([9, 0, 0, 0, of, 0, 0, 0]),
      word(count),
      Buffer.alloc(64),
    ])
  const cases = [
    Buffer.concat([start, word(1n << 40n), word(0n), Buffer.alloc(64)]),
    Buffer.concat([start, word(0n), word(2n ** 64n - 1n), Buffer.alloc(64)]),
    Buffer.concat([start, word(0n), word(1n), word(1n << 33n), Buffer.alloc(64)]),
    array(8, 1n << 31n),
    array(0, 1n << 34n),
    array(12, 2n ** 63n),
  ]
  for (const content of cases) {
    await writeFile(path, content)
    await isInvalid(readHeader(path), /claims|impossible/)
  }
})

test('a sparse file of many gigabytes does not make a large count believable', async (t) => {
  const path = join(await temporaryFolder(t), 'sparse.gguf')
  const header = Buffer.alloc(64)
  header.write('GGUF')
  header.writeUInt32LE(3, 4)
  header.writeBigUInt64LE(1n, 16)
  header.writeBigUInt64LE(1n, 24)
  header.write('k', 32)
  header.writeUInt32LE(9, 33)
  header.writeBigUInt64LE(8_000_000_000n, 41)
  await writeFile(path, header)
  await truncate(path, 2 ** 34)
  await isInvalid(readHeader(path), /more than a header can hold/)
})

test('mutated headers never crash, hang or take much memory: they are read or refused', async (t) => {
  const path = join(await temporaryFolder(t), 'mutated.gguf')
  await writeGguf(path, { metadata: EVERY_TYPE, tensors: TENSORS })
  const original = await readFile(path)
  const headerLength = (await readHeader(path)).dataOffset
  const mutation = fc.record({
    at: fc.nat(headerLength - 1),
    value: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 127, 128, 255)),
  })
  const before = process.memoryUsage()
  await fc.assert(
    fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 6 }), fc.nat(40), async (mutations, cut) => {
      const mutated = Buffer.from(original.subarray(0, original.length - (cut > 30 ? cut : 0)))
      for (const { at, value } of mutations) mutated[at] = value
      await writeFile(path, mutated)
      await readHeader(path).catch((error) => {
        if (!(error instanceof Phi2Error) || error.code !== 'PHI2_INVALID_GGUF') throw error
      })
    }),
    { numRuns: 3000, seed: 7 },
  )
  assert.ok(process.memoryUsage().rss - before.rss < 300e6)
})

test('overlapping, doubled and overlong tensors are refused on reading', async (t) => {
  const path = join(await temporaryFolder(t), 'odd.gguf')
  await writeGguf(path, { metadata: new Map(), tensors: TENSORS })
  const original = await readFile(path)
  const edit = async (find: string, replace: string, message: RegExp) => {
    const hex = original.toString('hex')
    assert.ok(hex.includes(find))
    await writeFile(path, Buffer.from(hex.replace(find, replace), 'hex'))
    await isInvalid(readHeader(path), message)
  }
  await edit('0100000000000000' + '62', '0100000000000000' + '61', /"a" occurs twice/)
  await edit('02000000' + '2000000000000000', '05000000' + '2000000000000000', /5 dimensions/)
  await edit('02000000' + '2000000000000000', '02000000' + '2100000000000000', /multiple of the 32/)
  await edit('02000000' + '2000000000000000', '02000000' + 'ffffffffffff1f00', /multiple|too large/)
  await edit('6000000000000000', '4000000000000000', /has offset 64, expected 96/)
})

test('what cannot be stored is refused before the file is made', async (t) => {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'refused.gguf')
  const tensor = (name: string, shape: number[]) => ({ name, type: 'f32', shape, data: () => [] }) as const
  const write = (metadata: GgufMetadata, ...tensors: ReturnType<typeof tensor>[]) =>
    writeGguf(path, { metadata, tensors })
  await isInvalid(write(new Map([['k', { type: 'uint8', value: 256 }]])), /k cannot be stored as uint8/)
  await isInvalid(write(new Map([['k', { type: 'uint32', value: Number.NaN }]])), /k .*expected an integer, found NaN/)
  await isInvalid(write(new Map([['k', { type: 'array', of: 'int16', value: [1, 1.5] }]])), /an integer, found 1.5/)
  await isInvalid(write(new Map([['', { type: 'bool', value: true }]])), /empty/)
  await isInvalid(write(new Map(), tensor('x'.repeat(64), [1])), /1 to 63 bytes/)
  await isInvalid(write(new Map(), tensor('x', [1]), tensor('x', [1])), /occurs twice/)
  await isInvalid(write(new Map(), tensor('x', [1, 1, 1, 1, 1])), /impossible shape/)
  await isInvalid(write(new Map(), tensor('x', [0.5])), /impossible shape/)
  assert.deepEqual(await readdir(folder), [])
})

test('data of the wrong length, a failure and an abort leave nothing under the name', async (t) => {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'failed.gguf')
  const write = (data: () => Iterable<Uint8Array> | AsyncIterable<Uint8Array>, signal?: AbortSignal) =>
    writeGguf(path, { metadata: new Map(), tensors: [{ name: 'x', type: 'f32', shape: [4], data }], signal })
  await isInvalid(
    write(() => [bytes(15)]),
    /takes 16 bytes, its data gives only 15/,
  )
  await isInvalid(
    write(() => [bytes(16), bytes(1)]),
    /gives more/,
  )
  const failing = async function* () {
    yield bytes(4)
    throw new Error('the source broke')
  }
  await assert.rejects(write(failing), /the source broke/)
  const controller = new AbortController()
  const aborting = function* () {
    yield bytes(4)
    controller.abort(new Error('enough'))
    yield bytes(12)
  }
  await assert.rejects(write(aborting, controller.signal), /enough/)
  assert.deepEqual(await readdir(folder), [])
})

test('an older file stays as it was when its replacement fails', async (t) => {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'model.gguf')
  await writeFile(path, 'older')
  const tensors = [{ name: 'x', type: 'f32', shape: [4], data: () => [] }] as const
  await assert.rejects(writeGguf(path, { metadata: new Map(), tensors }))
  assert.equal(await readFile(path, 'utf8'), 'older')
  assert.deepEqual(await readdir(folder), ['model.gguf'])
})

test('a folder that does not exist is an IO error that names the file', async (t) => {
  const path = join(await temporaryFolder(t), 'no', 'such', 'x.gguf')
  await assert.rejects(writeGguf(path, { metadata: new Map(), tensors: [] }), (error) => {
    assert.ok(error instanceof Phi2Error)
    assert.equal(error.code, 'PHI2_IO')
    assert.ok(error.message.includes(path))
    return true
  })
})
