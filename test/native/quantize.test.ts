import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Imatrix, readImatrix, writeImatrix } from '../../gguf/imatrix-file.js'
import {
  FILE_TYPES,
  GGML_TYPES,
  type GgufHeader,
  QUANTIZE_TYPES,
  type QuantizeOptions,
  type QuantizeType,
  quantize,
  readHeader,
} from '../../gguf/index.js'
import { evaluate } from '../../src/evaluate.js'
import { tinyModelPath } from '../../src/models/resolve.js'
import { loadAddon } from '../../src/native.js'
import { Phi2 } from '../../src/phi2.js'
import { temporaryFolder } from '../helpers/model.js'
import { writeSmallModel } from '../helpers/small-model.js'
import { writeSparseModel } from '../helpers/sparse-model.js'

const folder = temporaryFolder()
const small = join(folder, 'small-f32.gguf')
await writeSmallModel(small, { width: 256 })
const smallImatrix = join(folder, 'small-imatrix.gguf')
await writeImatrix(smallImatrix, await imatrixFor(small))

/** An importance matrix of the right shape, with a few columns that nothing ever came through. */
async function imatrixFor(path: string): Promise<Imatrix> {
  const { tensors } = await readHeader(path)
  const matrices = tensors.filter(({ name, shape }) => shape.length > 1 && name.startsWith('blk.'))
  return {
    datasets: ['text.txt'],
    chunkCount: 2,
    chunkSize: 512,
    entries: new Map(
      matrices.map(({ name, shape }) => {
        const sums = Float32Array.from({ length: shape[0]! }, (_, column) => (column % 64 < 33 ? 0 : 1 + (column % 7)))
        return [name, { sums, counts: Float32Array.of(1024) }]
      }),
    ),
  }
}

/** A folder with nothing but a copy of the small model's name. */
function target(name: string): { own: string; to: string } {
  const own = temporaryFolder()
  return { own, to: join(own, name) }
}

function needs(type: QuantizeType): Pick<QuantizeOptions, 'imatrix'> {
  return FILE_TYPES[type].imatrix === 'required' ? { imatrix: smallImatrix } : {}
}

function tensorTypes({ tensors }: GgufHeader): Record<string, string> {
  return Object.fromEntries(tensors.map(({ name, type }) => [name, type]))
}

test('the list of file types is that of the engine: none is missing, none has another number', () => {
  const ours = new Map(Object.entries(FILE_TYPES).map(([name, { id }]) => [id as number, name]))
  for (let id = 0; id < 1024; id++) {
    const theirs = loadAddon().fileTypeName(id)
    const name = ours.get(id)
    if (theirs.startsWith('unknown')) {
      assert.equal(name, undefined, `the engine has no file type ${id}`)
      continue
    }
    // "Q4_K - Medium", "IQ2_XS - 2.3125 bpw", "all F32", "MXFP4 MoE"
    const [word, size] = theirs.replace(/^all /, '').replace(' MoE', '_MoE').replace(' mix', '').split(' - ')
    const letter = { Small: '_s', Medium: '_m', Large: '_l' }[size ?? ''] ?? ''
    const expected =
      theirs === 'Q2_K - Medium'
        ? 'q2_k'
        : theirs === 'IQ3_S mix - 3.66 bpw'
          ? 'iq3_m'
          : `${word!.toLowerCase()}${letter}`
    assert.equal(name, expected, theirs)
  }
})

// facts of llama.cpp's mixtures at full size: bytes of all tensors
const FULL_SIZE: [QuantizeType, separate: number, fused: number][] = [
  ['f32', 11_118_735_360, 11_118_735_360],
  ['q8_0', 2_956_226_560, 2_956_226_560],
  ['q6_k', 2_283_253_760, 2_283_253_760],
  ['q4_0', 1_600_655_360, 1_600_655_360],
  ['q5_k_m', 2_001_244_160, 2_029_096_960],
  ['q4_k_m', 1_735_823_360, 1_789_890_560],
  ['q4_k_s', 1_617_039_360, 1_623_592_960],
  ['q3_k_m', 1_424_322_560, 1_483_304_960],
]

test('a dry run tells the exact size of a full-size Phi-2 in every type, and reads no weight', async () => {
  const separate = join(folder, 'full-separate-f16.gguf')
  const fused = join(folder, 'full-fused-f16.gguf')
  await writeSparseModel(separate)
  await writeSparseModel(fused, { fused: true })
  for (const [type, ...expected] of FULL_SIZE) {
    const results = [
      await quantize({ from: separate, type, dryRun: true }),
      await quantize({ from: fused, type, dryRun: true }),
    ]
    assert.deepEqual(
      results.map(({ tensorBytes }) => tensorBytes),
      expected,
      type,
    )
    assert.deepEqual(
      results.flatMap(({ fallbacks }) => fallbacks),
      [],
    )
    assert.ok(results.every(({ path, bytes, tensorBytes }) => path === undefined && bytes > tensorBytes))
  }
  assert.deepEqual((await readdir(folder)).filter((name) => name.startsWith('full-')).length, 2)

  const imatrix = join(folder, 'full-imatrix.gguf')
  await writeImatrix(imatrix, await imatrixFor(separate))
  for (const type of QUANTIZE_TYPES) {
    const { bits, imatrix: use } = FILE_TYPES[type]
    const options = { from: separate, type, ...(use === 'required' && { imatrix }), dryRun: true }
    const { bitsPerWeight } = await quantize(options)
    assert.ok(Math.abs(bitsPerWeight - bits) <= 0.0051, `${type} takes ${bitsPerWeight} bits, the list says ${bits}`)
    // "required" is what the engine would refuse, and nothing else
    if (type === 'f16') continue
    const noRoom = quantize({ from: separate, to: '/proc/nowhere/x.gguf', type, threads: 1 })
    await assert.rejects(noRoom, { code: use === 'required' ? 'PHI2_INVALID_OPTION' : 'PHI2_IO' }, type)
  }
})

test('every type makes a file that loads and gives finite logits', async () => {
  for (const type of QUANTIZE_TYPES) {
    if (type === 'f32') continue
    const to = join(folder, `every-${type}.gguf`)
    const result = await quantize({ from: small, to, type, ...needs(type) })
    const header = await readHeader(to)
    assert.deepEqual(header.metadata.get('general.file_type'), { type: 'uint32', value: FILE_TYPES[type].id }, type)
    assert.equal(header.fileSize, result.bytes)
    await using phi2 = await Phi2.load({ model: to, contextSize: 64 })
    const { engine, dispatcher } = phi2.internals
    const { logits } = await evaluate(engine, dispatcher, Int32Array.of(1, 2, 3, 4), { logitPositions: [0, 3] })
    assert.equal(logits.length, 2 * 14)
    assert.ok(logits.every(Number.isFinite), type)
  }
})

test('what a dry run says comes true, in bytes and in types', async () => {
  for (const width of [256, 160, 80]) {
    const from = join(folder, `dry-${width}.gguf`)
    await writeSmallModel(from, { width, type: 'f16' })
    for (const type of ['q8_0', 'q4_0', 'q4_k_m', 'q3_k_s', 'iq4_xs', 'bf16'] as const) {
      const to = join(folder, `dry-${width}-${type}.gguf`)
      const foreseen = await quantize({ from, to, type, dryRun: true })
      const { path, ...done } = await quantize({ from, to, type })
      assert.equal(path, to)
      assert.deepEqual(done, foreseen, `${width} ${type}`)
    }
  }
})

test('rows that do not fill whole blocks take another type, and the result says which', async () => {
  const from = join(folder, 'odd-160.gguf')
  await writeSmallModel(from, { width: 160, layers: 1 })
  const { fallbacks } = await quantize({ from, type: 'q4_k_s', dryRun: true })
  const byName = Object.fromEntries(fallbacks.map(({ name, wanted, type }) => [name, [wanted, type]]))
  assert.deepEqual(byName, {
    'token_embd.weight': ['q4_k', 'q5_0'],
    'blk.0.attn_q.weight': ['q4_k', 'q5_0'],
    'blk.0.attn_k.weight': ['q4_k', 'q5_0'],
    'blk.0.attn_v.weight': ['q5_k', 'q5_1'],
    'blk.0.attn_output.weight': ['q4_k', 'q5_0'],
    'blk.0.ffn_up.weight': ['q4_k', 'q5_0'],
    'blk.0.ffn_down.weight': ['q4_k', 'q5_0'],
    'output.weight': ['q4_k', 'q8_0'],
  })
  // rows of 80 fill no block at all
  const odd = join(folder, 'odd-80.gguf')
  await writeSmallModel(odd, { width: 80, layers: 1 })
  const { tensorTypes: types } = await quantize({ from: odd, type: 'q4_0', dryRun: true })
  assert.deepEqual(types.map(({ type }) => type).sort(), ['f16', 'f32', 'q4_0'])
})

test('single tensors can be given types of their own, all the same one, or the output left alone', async () => {
  const typesWith = async (options: Partial<QuantizeOptions>) => {
    const to = join(folder, 'own-types.gguf')
    await quantize({ from: small, to, type: 'q4_k_m', ...options })
    return tensorTypes(await readHeader(to))
  }
  const mixture = await typesWith({})
  assert.deepEqual(
    [mixture['output.weight'], mixture['token_embd.weight'], mixture['blk.1.attn_v.weight']],
    ['q6_k', 'q4_k', 'q6_k'],
  )
  const own = await typesWith({ outputTensorType: 'q8_0', tokenEmbeddingType: 'f16' })
  assert.deepEqual(
    [own['output.weight'], own['token_embd.weight'], own['blk.1.attn_v.weight']],
    ['q8_0', 'f16', 'q6_k'],
  )
  const pure = await typesWith({ pure: true })
  assert.deepEqual(new Set(Object.values(pure)), new Set(['q4_k', 'f32']))
  const left = await typesWith({ leaveOutputTensor: true })
  assert.equal(left['output.weight'], 'f32')

  const odd = join(folder, 'own-160.gguf')
  await writeSmallModel(odd, { width: 160 })
  await assert.rejects(quantize({ from: odd, to: join(folder, 'no.gguf'), type: 'q8_0', outputTensorType: 'q4_k' }), {
    name: 'RangeError',
    code: 'PHI2_INVALID_OPTION',
    message: /output\.weight has rows of 160 weights.*256 in a block of q4_k/,
  })
})

test('both forms of an importance matrix give the same file, which names it in its keys', async () => {
  const legacy = join(folder, 'small-imatrix.dat')
  await writeLegacy(legacy, await readImatrix(smallImatrix))
  const hashes: string[] = []
  for (const imatrix of [smallImatrix, legacy]) {
    const to = join(folder, 'weighted.gguf')
    await quantize({ from: small, to, type: 'iq2_xs', imatrix })
    const { metadata, dataOffset } = await readHeader(to)
    hashes.push(
      createHash('sha256')
        .update((await readFile(to)).subarray(dataOffset))
        .digest('hex'),
    )
    const keys = [...metadata].filter(([key]) => key.startsWith('quantize.'))
    assert.deepEqual(Object.fromEntries(keys), {
      'quantize.imatrix.file': { type: 'string', value: imatrix },
      'quantize.imatrix.dataset': { type: 'string', value: 'text.txt' },
      'quantize.imatrix.entries_count': { type: 'uint32', value: 12 },
      'quantize.imatrix.chunks_count': { type: 'uint32', value: 2 },
    })
  }
  assert.equal(hashes[0], hashes[1])
  const many = join(folder, 'many-chunks.gguf')
  await writeImatrix(many, { ...(await readImatrix(smallImatrix)), chunkCount: 2 ** 32 - 1 })
  const { metadata } = await readHeader((await quantize({ from: small, type: 'q4_0', imatrix: many })).path!)
  assert.equal(metadata.get('quantize.imatrix.chunks_count')?.value, 2 ** 32 - 1)
  const { to } = target('plain.gguf')
  await quantize({ from: small, to, type: 'q4_k_m' })
  const plain = await readFile(to)
  await quantize({ from: small, to, type: 'q4_k_m', imatrix: smallImatrix })
  assert.notDeepEqual(plain.subarray(-1e5), (await readFile(to)).subarray(-1e5))
})

async function writeLegacy(path: string, { datasets, chunkCount, entries }: Imatrix): Promise<void> {
  const int = (value: number) => Buffer.from(Int32Array.of(value).buffer)
  const text = (value: string) => [int(Buffer.byteLength(value)), Buffer.from(value)]
  const calls = 4
  const parts = [...entries].flatMap(([name, { sums, counts }]) => {
    const values = sums.map((sum) => (sum / counts[0]!) * calls)
    return [...text(name), int(calls), int(values.length), Buffer.from(values.buffer)]
  })
  await writeFile(path, Buffer.concat([int(entries.size), ...parts, int(chunkCount), ...text(datasets[0]!)]))
}

test('an importance matrix of another model is refused, and so is a type that lacks one', async () => {
  const { own, to } = target('x.gguf')
  const path = join(folder, 'other-imatrix.gguf')
  const right = await imatrixFor(small)
  const refused = async (entries: Imatrix['entries'], message: RegExp) => {
    await writeImatrix(path, { ...right, entries })
    await assert.rejects(quantize({ from: small, to, type: 'q2_k', imatrix: path }), {
      code: 'PHI2_INVALID_IMATRIX',
      message,
    })
  }
  const [[name, entry]] = right.entries as unknown as [[string, { sums: Float32Array; counts: Float32Array }]]
  await refused(new Map([...right.entries, ['blk.7.ffn_up.weight', entry]]), /blk\.7\.ffn_up\.weight.*another model/)
  await refused(new Map([...right.entries, [name, { ...entry, sums: entry.sums.subarray(1) }]]), /255 columns.*has 256/)
  await refused(new Map([...right.entries].slice(1)), /says nothing of blk\.0/)
  await assert.rejects(quantize({ from: small, to, type: 'iq2_xxs' }), {
    name: 'RangeError',
    code: 'PHI2_INVALID_OPTION',
    message: /Expected an importance matrix for type iq2_xxs.*phi2 imatrix/,
  })
  await assert.rejects(quantize({ from: small, to, type: 'iq1_s', imatrix: smallImatrix, pure: true }), {
    name: 'RangeError',
    message: /token_embd\.weight would be stored as iq1_s.*tokenEmbeddingType/,
  })
  assert.deepEqual(await readdir(own), [])
})

test('an importance matrix of separate q, k and v serves a file where they are one matrix', async () => {
  const fused = join(folder, 'fused-full.gguf')
  await writeSparseModel(fused, { fused: true, layers: 1 })
  const separate = join(folder, 'separate-full.gguf')
  await writeSparseModel(separate, { layers: 1 })
  const imatrix = join(folder, 'separate-imatrix.gguf')
  await writeImatrix(imatrix, await imatrixFor(separate))
  const { tensorTypes } = await quantize({ from: fused, type: 'iq2_xs', imatrix, dryRun: true })
  assert.ok(tensorTypes.some(({ type }) => type === 'iq2_xs'))
})

test('what would lose weights for nothing is refused', async () => {
  const { own, to } = target('x.gguf')
  const refused = (options: Omit<QuantizeOptions, 'to'>, message: RegExp) =>
    assert.rejects(quantize({ ...options, to }), { code: 'PHI2_QUANTIZE_FAILED', message })
  const q4 = join(folder, 'worth-q4_0.gguf')
  await quantize({ from: small, to: q4, type: 'q4_0' })
  await refused({ from: small, type: 'f32' }, /is what you want already/)
  await refused({ from: q4, type: 'q4_0', allowRequantize: true }, /is what you want already/)
  await refused({ from: q4, type: 'q2_k' }, /quantized already \(token_embd\.weight is q4_0\).*allowRequantize/)
  await refused({ from: q4, type: 'q8_0', allowRequantize: true }, /no smaller/)
  assert.deepEqual(await readdir(own), [])
  // back to floats is worth something for machines and tools that want them; smaller is what was asked for
  for (const type of ['f16', 'q2_k'] as const) {
    assert.equal((await quantize({ from: q4, to, type, allowRequantize: true })).type, type)
  }
})

test('weights that are damaged or too large for the type are named, and nothing is left', async () => {
  const { own, to } = target('x.gguf')
  const from = join(folder, 'damaged.gguf')
  const damaged = async (weight: number, type: 'f32' | 'bf16' = 'f32') => {
    await writeSmallModel(from, {
      width: 256,
      type,
      edit: (name, weights) => {
        if (name === 'blk.1.ffn_up.weight') weights[weights.length - 1] = weight
      },
    })
  }
  const refused = (type: QuantizeType, message: RegExp) =>
    assert.rejects(quantize({ from, to, type, ...needs(type) }), { code: 'PHI2_QUANTIZE_FAILED', message })
  await damaged(-70_000)
  await refused('f16', /blk\.1\.ffn_up\.weight holds a weight of magnitude 70000, which.*Use bf16 or f32/)
  await quantize({ from, to: join(folder, 'wide-bf16.gguf'), type: 'bf16' })
  await damaged(1e30)
  await refused('iq2_xxs', /blk\.1\.ffn_up\.weight/)
  await damaged(2e5, 'bf16')
  await refused('q4_k_m', /blk\.1\.ffn_up\.weight holds a weight of magnitude 1/)
  for (const weight of [Number.NaN, Number.NEGATIVE_INFINITY]) {
    await damaged(weight)
    await refused('q8_0', /blk\.1\.ffn_up\.weight holds a weight that is infinite or no number/)
    await damaged(weight, 'bf16')
    await refused('f16', /blk\.1\.ffn_up\.weight holds a weight that is infinite or no number/)
  }
  assert.deepEqual(await readdir(own), [])
})

test('an abort rejects with its reason and leaves no file', async () => {
  const { own, to } = target('x.gguf')
  const reason = new Error('enough')
  const abort = new AbortController()
  const fractions: number[] = []
  const run = quantize({
    from: tinyModelPath(),
    to,
    type: 'q4_k_m',
    allowRequantize: true,
    threads: 1,
    signal: abort.signal,
    onProgress: (fraction) => {
      fractions.push(fraction)
      abort.abort(reason)
    },
  })
  await assert.rejects(run, (error) => error === reason)
  assert.ok(fractions.length >= 1 && fractions.every((fraction) => fraction < 1))
  assert.deepEqual(await readdir(own), [])
  await assert.rejects(
    quantize({ from: small, to, type: 'q8_0', signal: AbortSignal.abort(reason) }),
    (error) => error === reason,
  )
})

test('progress only grows and ends at 1, while the event loop goes on', async () => {
  const { to } = target('x.gguf')
  const fractions: number[] = []
  let turns = 0
  const timer = setInterval(() => turns++, 1)
  await quantize({
    from: tinyModelPath(),
    to,
    type: 'q4_k_m',
    allowRequantize: true,
    threads: 1,
    onProgress: (fraction) => fractions.push(fraction),
  })
  clearInterval(timer)
  assert.ok(fractions.length >= 2)
  assert.deepEqual(
    fractions,
    [...fractions].sort((a, b) => a - b),
  )
  assert.ok(fractions[0]! < 1 && fractions.at(-1) === 1)
  assert.ok(turns > 3, `only ${turns} turns`)
})

test('quantized anew, the embedded model still knows its answers', async () => {
  const f16 = join(folder, 'tiny-f16.gguf')
  await quantize({ from: tinyModelPath(), to: f16, type: 'f16', allowRequantize: true })
  for (const type of ['q8_0', 'q6_k', 'q4_k_m'] as const) {
    const to = join(folder, `tiny-${type}.gguf`)
    await quantize({ from: f16, to, type })
    await using phi2 = await Phi2.load({ model: to, contextSize: 256 })
    assert.match((await phi2.ask('What is the capital of France?')).text, /Paris/, type)
  }
})

test('a file with another alignment gives the same weights', async () => {
  const from = join(folder, 'aligned.gguf')
  const to = join(folder, 'aligned-q8_0.gguf')
  const plain = join(folder, 'plain-q8_0.gguf')
  await writeSmallModel(from, { width: 160, alignment: 256 })
  await quantize({ from, to, type: 'q8_0' })
  await writeSmallModel(from, { width: 160 })
  await quantize({ from, to: plain, type: 'q8_0' })
  const weights = async (path: string) => {
    const { tensors, dataOffset } = await readHeader(path)
    const bytes = await readFile(path)
    return tensors.map(({ name, offset, byteLength }) => [
      name,
      createHash('sha256')
        .update(bytes.subarray(dataOffset + offset, dataOffset + offset + byteLength))
        .digest('hex'),
    ])
  }
  assert.deepEqual(await weights(to), await weights(plain))
})

test('when the process ends, what uses the engine’s registries is waited for, and a tensor at hand can be left', async () => {
  const addon = loadAddon()
  const { tensors, dataOffset } = await readHeader(tinyModelPath())
  const { to } = target('x.gguf')
  const start = (onProgress?: () => void) =>
    addon.quantize({
      path_in: tinyModelPath(),
      path_out: to,
      ftype: FILE_TYPES.q2_k.id,
      n_threads: 1,
      allow_requantize: true,
      quantize_output_tensor: true,
      pure: false,
      dry_run: false,
      tensors: tensors.map(({ name, type, offset, byteLength }) => {
        return { name, type: GGML_TYPES[type].id, offset: dataOffset + offset, bytes: byteLength, limit: 65504 }
      }),
      imatrix: [],
      keys: [],
      onProgress,
    })
  // the thread has hardly begun
  const loading = start()
  addon.stopForExit()
  // on a busy machine it may have come to a tensor all the same
  const late = setTimeout(() => loading.cancel(), 2000)
  await assert.rejects(loading.promise, { code: 'PHI2_ABORTED' })
  clearTimeout(late)

  // an environment that goes on nevertheless, as that of a worker thread, can still end it
  for (let round = 0; round < 5; round++) {
    const atTensor = await new Promise<ReturnType<typeof start>>((resolve) => {
      const task = start(() => resolve(task))
    })
    addon.stopForExit()
    atTensor.cancel()
    await assert.rejects(atTensor.promise, { code: 'PHI2_ABORTED' })
  }
})
