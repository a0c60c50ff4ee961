import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { ByteSource } from '../../gguf/byte-source.js'
import { type GgufMetadata, inspect, readHeader, synth, writeGguf } from '../../gguf/index.js'
import { inspectBytes } from '../../gguf/inspect.js'
import { formatInspection } from '../../src/cli/inspect.js'
import { Phi2Error } from '../../src/errors.js'
import { tinyModelPath } from '../../src/models/resolve.js'
import { runProgram } from '../helpers/child.js'
import { HeaderMutator, writeSparse } from '../helpers/gguf-mutations.js'
import { soundModel } from '../native/gguf-variants.js'
import { temporaryFolder } from './gguf-fixture.js'

const MEGABYTE = 2 ** 20

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

function text(value: string): Buffer {
  return Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)])
}

function start(tensors: number | bigint, keys: number | bigint, ...rest: Buffer[]): Buffer {
  return Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors), u64(keys), ...rest])
}

/** A key with an array; the ids of the types are those of the format. */
function array(key: string, of: number, count: number | bigint, ...elements: Buffer[]): Buffer {
  return Buffer.concat([text(key), u32(9), u32(of), u64(count), ...elements])
}

function tensor(name: string, shape: (number | bigint)[], type: number, offset: number | bigint): Buffer {
  return Buffer.concat([text(name), u32(shape.length), ...shape.map(u64), u32(type), u64(offset)])
}

const uint8 = 0
const string = 8
const nested = 9
const uint64 = 10
const f32 = 0

/** Zeros up to here follow the bytes: of a sparse file they cost nothing. */
type Hostile = [name: string, bytes: Buffer, size: number, message: RegExp]

const few = 4096
const vast = 16 * 2 ** 30

const hostile: Hostile[] = [
  ['2^64 - 1 keys', start(0, 2n ** 64n - 1n), few, /impossible/],
  ['2^63 tensors', start(2n ** 63n, 0), few, /impossible/],
  ['as many tensors as fit', start(1e6, 0), vast, /no model has so many/],
  ['as many keys as fit', start(0, 4e6), vast, /no model has so many/],
  ['a text longer than the file', start(0, 1, text('k'), u32(8), u64(9e6)), few, /9000000 bytes of text but only/],
  ['a text longer than any header', start(0, 1, text('k'), u32(8), u64(2 ** 32)), vast, /more than a header can hold/],
  ['a key longer than any key', start(0, 1, u64(100_000)), vast, /longer than the 65535/],
  ['an array longer than the file', start(0, 1, array('k', uint64, 1e6)), few, /elements of "k" but only/],
  ['an array of 60 million bytes', start(0, 1, array('k', uint8, 60e6)), vast, /more than any vocabulary/],
  ['an array of 8 million empty texts', start(0, 1, array('k', string, 8e6)), vast, /more than any vocabulary/],
  [
    'many arrays',
    start(0, 9, array('k', uint8, 3e6, Buffer.alloc(3e6)), array('l', uint8, 3e6)),
    vast,
    /more than any/,
  ],
  ['an array of arrays', start(0, 1, array('k', nested, 1e6)), vast, /array of arrays/],
  ['an array of arrays of arrays', start(0, 1, array('k', nested, 1, u32(9), u64(1), u32(9))), few, /array of arrays/],
  ['an array of a type that does not exist', start(0, 1, array('k', 13, 1)), few, /unknown value type 13/],
  ['a value of a type that does not exist', start(0, 1, text('k'), u32(77)), few, /unknown value type 77/],
  ['a key twice', start(0, 2, text('k'), u32(0), u32(0).subarray(3), text('k'), u32(0)), few, /occurs twice/],
  ['an empty key', start(0, 1, text(''), u32(0)), few, /is empty/],
  ['alignment 0', start(0, 1, text('general.alignment'), u32(4), u32(0)), few, /power of two/],
  ['alignment 48', start(0, 1, text('general.alignment'), u32(4), u32(48)), few, /power of two/],
  ['alignment as a text', start(0, 1, text('general.alignment'), u32(8), text('x')), few, /power of two/],
  ['5 dimensions', start(1, 0, tensor('t', [1, 1, 1, 1, 1], f32, 0)), few, /5 dimensions/],
  ['2^32 dimensions', start(1, 0, text('t'), u32(2 ** 32 - 1), Buffer.alloc(99)), few, /4294967295 dimensions/],
  ['a dimension of 2^64 - 1', start(1, 0, tensor('t', [2n ** 64n - 1n], f32, 0)), few, /impossible/],
  ['dimensions whose product is too large', start(1, 0, tensor('t', [2 ** 40, 2 ** 40], f32, 0)), few, /too large/],
  ['a type that does not exist', start(1, 0, tensor('t', [32], 99, 0)), few, /unknown type 99/],
  ['a type of 2024', start(1, 0, tensor('t', [32], 31, 0)), few, /q4_0_4_4, which llama.cpp no longer reads/],
  ['rows of half a block', start(1, 0, tensor('t', [16], 2, 0)), few, /not a multiple of the 32/],
  ['an offset below 0', start(1, 0, tensor('t', [8], f32, 2n ** 64n - 32n)), few, /impossible/],
  ['a huge offset', start(1, 0, tensor('t', [8], f32, 2n ** 50n)), few, /there is a gap before it/],
  ['an odd offset', start(1, 0, tensor('t', [8], f32, 1)), few, /expected 0/],
  [
    'overlapping tensors',
    start(2, 0, tensor('a', [8], f32, 0), tensor('b', [8], f32, 0)),
    few,
    /overlaps the one before/,
  ],
  ['partly overlapping tensors', start(2, 0, tensor('a', [64], f32, 0), tensor('b', [8], f32, 32)), few, /overlaps/],
  ['a gap', start(2, 0, tensor('a', [8], f32, 0), tensor('b', [8], f32, 64)), few, /gap/],
  ['a tensor twice', start(2, 0, tensor('a', [8], f32, 0), tensor('a', [8], f32, 32)), few, /"a" occurs twice/],
  ['a name of 64 bytes', start(1, 0, tensor('x'.repeat(64), [8], f32, 0)), few, /longer than the 63/],
  ['version 1', Buffer.concat([Buffer.from('GGUF'), u32(1), Buffer.alloc(64)]), few, /version is 1/],
  ['big-endian', Buffer.concat([Buffer.from('GGUF'), Buffer.from([0, 0, 0, 3]), Buffer.alloc(64)]), few, /big-endian/],
  ['a header without end', start(0, 1000, ...manyTexts(700)), vast, /larger than 67108864/],
]

function manyTexts(count: number): Buffer[] {
  const long = Buffer.alloc(100_000, 'x')
  return Array.from({ length: count }, (_, index) => Buffer.concat([text(`k${index}`), u32(8), u64(long.length), long]))
}

test('each hostile header is an error with its reason, in little time and memory', async (t) => {
  const folder = await temporaryFolder(t)
  const files: string[] = []
  for (const [index, [, bytes, size]] of hostile.entries()) {
    files.push(join(folder, `${index}.gguf`))
    await writeSparse(files[index]!, bytes, size)
  }
  // A process of its own, so that its memory is that of these files.
  const child = await runProgram(`
    import { inspect } from ${JSON.stringify(new URL('../../gguf/inspect.ts', import.meta.url).href)}
    process.stdout.write('READY\\n')
    for (const source of ${JSON.stringify(files)}) {
      const outcome = await inspect({ source }).then(() => ({}), ({ code, message }) => ({ code, message }))
      console.log(JSON.stringify(outcome))
    }
    console.log(process.resourceUsage().maxRSS)`)
  assert.deepEqual([child.code, child.stderr], [0, ''])
  const lines = child.stdout.trim().split('\n').slice(1)
  for (const [index, [name, , , message]] of hostile.entries()) {
    const outcome = JSON.parse(lines[index]!) as { code?: string; message?: string }
    assert.equal(outcome.code, 'PHI2_INVALID_GGUF', name)
    assert.match(outcome.message!, message, name)
  }
  const peak = Number(lines.at(-1)) * 1024
  assert.ok(peak < 600 * MEGABYTE, `${Math.round(peak / MEGABYTE)} MiB`)
})

test('names out of a file cannot steer the terminal, in a report, as JSON or in an error', async (t) => {
  const path = join(await temporaryFolder(t), 'escapes.gguf')
  const evil = '\x1b[2J\x1b]0;owned\x07\u009b31m\r\nfile  safe.gguf\u202e\0\x7f'
  const metadata: GgufMetadata = new Map([
    ['general.architecture', { type: 'string', value: evil }],
    ['general.name', { type: 'string', value: evil }],
    ['general.license', { type: 'string', value: evil }],
    [evil, { type: 'array', of: 'string', value: [evil] }],
  ])
  const tensors = [{ name: '\x1b[31mred\n', type: 'f32', shape: [1], data: () => [new Uint8Array(4)] }] as const
  await writeGguf(path, { metadata, tensors })
  const found = await inspect({ source: path })
  const report = formatInspection(found, { keys: true, tensors: true, columns: 100 })
  assert.doesNotMatch(report, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/)
  assert.doesNotMatch(report, /^file {2}safe/m)
  assert.match(report, /\\u001b\[2J/)
  const twice: GgufMetadata = new Map([`${evil}1`, `${evil}2`].map((key) => [key, { type: 'uint32', value: 1 }]))
  await writeGguf(path, { metadata: twice, tensors: [] })
  const bytes = await readFile(path)
  bytes[bytes.lastIndexOf(`${evil}2`) + Buffer.byteLength(evil)] = 0x31
  await writeSparse(path, bytes, 0)
  await assert.rejects(readHeader(path), (error: Error) => {
    assert.doesNotMatch(error.message, /[\x00-\x1f\x7f-\x9f]/)
    assert.match(error.message, /occurs twice/)
    return true
  })
})

test('a key named like a property of objects is a key like any other', async (t) => {
  const path = join(await temporaryFolder(t), 'proto.gguf')
  const keys = ['__proto__', 'constructor', 'toString', 'version']
  const metadata: GgufMetadata = new Map(keys.map((key) => [key, { type: 'uint32', value: 1 }]))
  await writeGguf(path, { metadata, tensors: [] })
  assert.deepEqual(
    (await inspect({ source: path })).keys.map(({ key }) => key),
    keys,
  )
})

test('10,000 mutations of real headers end in a description or an error, never otherwise', {
  timeout: 300_000,
}, async (t) => {
  const folder = await temporaryFolder(t)
  const options = { remote: false, contextSize: 2048, fullValues: true }
  const outcomes = { described: 0, refused: 0 }
  for (const [seed, base] of (await realHeaders(folder)).entries()) {
    const mutator = new HeaderMutator(base.header, seed + 1)
    for (let count = 0; count < 5000; count++) {
      try {
        const found = await inspectBytes(new MemorySource(mutator.next(), base.size), options)
        const report = formatInspection(found, { keys: true, tensors: true, columns: 120 })
        assert.doesNotMatch(report, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/)
        assert.ok(JSON.stringify(found).length > 0)
        outcomes.described++
      } catch (error) {
        if (!(error instanceof Phi2Error)) throw new Error(`mutation ${count} of header ${seed}`, { cause: error })
        assert.equal(error.code, 'PHI2_INVALID_GGUF', error.message)
        outcomes.refused++
      }
    }
  }
  // Neither is rare: the mutations reach the far end of the parser, and they do damage.
  assert.ok(outcomes.described > 1000 && outcomes.refused > 1000, JSON.stringify(outcomes))
})

/** A file whose tensors are there but never read. */
class MemorySource implements ByteSource {
  readonly name = 'mutated.gguf'
  readonly firstRead = 1024

  constructor(
    private readonly bytes: Buffer,
    readonly size: number,
  ) {}

  async read(offset: number, length: number): Promise<Uint8Array> {
    return this.bytes.subarray(offset, offset + length)
  }

  async close(): Promise<void> {}
}

/** The headers of a random model and of the embedded one with a short vocabulary. */
async function realHeaders(folder: string): Promise<{ header: Buffer; size: number }[]> {
  const [synthetic, shortened, vocabulary] = ['synthetic', 'shortened', 'vocabulary'].map((name) => join(folder, name))
  await soundModel().write(vocabulary!)
  await synth({ to: synthetic!, layers: 1, embeddingSize: 160, heads: 2, vocabulary: vocabulary! })
  const tiny = await readHeader(tinyModelPath())
  const metadata: GgufMetadata = new Map(
    [...tiny.metadata].map(([key, value]) => [
      key,
      (value.type === 'array' ? { ...value, value: value.value.slice(0, 24) } : value) as typeof value,
    ]),
  )
  const tensors = tiny.tensors.map(({ name, type, shape, byteLength }) => ({
    name,
    type,
    shape,
    data: () => [new Uint8Array(byteLength)],
  }))
  await writeGguf(shortened!, { metadata, tensors })
  return Promise.all(
    [synthetic!, shortened!].map(async (path) => {
      const { dataOffset, fileSize } = await readHeader(path)
      return { header: (await readFile(path)).subarray(0, dataOffset), size: fileSize }
    }),
  )
}
