/**
 * A full-size Phi-2 whose text is known beforehand: after each token comes the next one of a chain that visits all of the
 * vocabulary. It computes what a real file of its type computes, but what it writes can be made to repeat its prompt, or
 * not, which random weights never do.
 *
 * The embeddings are so large that the random layers add next to nothing to them, and the output matrix has for each
 * token the embedding of the one before it.
 *
 * Run alone, to make the file: npx tsx bench/speculate/chain-model.ts TO.gguf [q4_k_m|q4_0]
 */
import { createReadStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type GgufTensor, quantize, readHeader, writeGguf } from '../../gguf/index.js'
import { modelMetadata } from '../../gguf/metadata.js'
import { mixtureType } from '../../gguf/mixtures.js'
import { type RandomTensor, randomModel } from '../../gguf/random-model.js'
import { encodeFloats, randomSource } from '../../gguf/random-weights.js'
import type { ModelName } from '../options.js'
import { previousToken } from './chain.js'

/** A layer adds numbers of about 1. */
const EMBEDDING_SPREAD = 32
/** The logit of the next token is about 2560 times this, that of any other about 50 times. */
const OUTPUT_SPREAD = 0.02

export async function writeChainModel(to: string, type: ModelName): Promise<void> {
  const folder = await mkdtemp(join(dirname(to), 'chain-'))
  try {
    const ends = await quantizedEnds(folder, type)
    const { config, name, parameters, vocabulary, tensors } = await randomModel({})
    const general = { name, parameters, fileType: type, tags: [], languages: [] }
    await writeGguf(to, {
      metadata: new Map([...modelMetadata(config, general), ...vocabulary]),
      tensors: tensors.map((tensor) => ends.get(tensor.name) ?? asRandom(tensor, type, config.layers)),
    })
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** The two matrices, quantized by the engine in a model of one layer. */
async function quantizedEnds(folder: string, type: ModelName): Promise<Map<string, GgufTensor>> {
  const from = join(folder, 'f16.gguf')
  const to = join(folder, 'quantized.gguf')
  const { config, name, parameters, vocabulary, tensors } = await randomModel({ layers: 1 })
  const general = { name, parameters, fileType: 'f16' as const, tags: [], languages: [] }
  const rows: Record<string, (id: number) => Float32Array> = {
    'token_embd.weight': (id) => embedding(id, config.embeddingSize, EMBEDDING_SPREAD),
    'output.weight': (id) => embedding(previousToken(id), config.embeddingSize, OUTPUT_SPREAD),
  }
  await writeGguf(from, {
    metadata: new Map([...modelMetadata(config, general), ...vocabulary]),
    tensors: tensors.map((tensor) => {
      const row = rows[tensor.name]
      if (!row) return asRandom(tensor, 'f16', 1)
      return { ...tensor, type: 'f16', data: () => encodedRows(tensor.shape[1]!, row) }
    }),
  })
  await quantize({ from, to, type })
  const { tensors: stored, dataOffset } = await readHeader(to)
  return new Map(
    stored
      .filter(({ name }) => name in rows)
      .map(({ name, type, shape, offset, byteLength }) => {
        const start = dataOffset + offset
        return [name, { name, type, shape, data: () => createReadStream(to, { start, end: start + byteLength - 1 }) }]
      }),
  )
}

function asRandom({ name, shape, data }: RandomTensor, type: ModelName | 'f16', layers: number): GgufTensor {
  const stored = mixtureType(type, { name, shape }, layers)
  return { name, shape, type: stored, data: () => data(stored) }
}

function* encodedRows(count: number, row: (id: number) => Float32Array): Generator<Uint8Array> {
  for (let id = 0; id < count; id++) yield encodeFloats(row(id), 'f16')
}

/** Of every token another direction; none of a token that nothing leads to, or that is never met. */
function embedding(id: number | undefined, size: number, spread: number): Float32Array {
  const row = new Float32Array(size)
  if (id === undefined) return row
  const random = randomSource(Math.imul(id + 1, 0x9e3779b1))
  for (let i = 0; i < size; i++) row[i] = random() >>> 31 === 0 ? spread : -spread
  return row
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [to, type = 'q4_k_m'] = process.argv.slice(2)
  if (to === undefined || (type !== 'q4_k_m' && type !== 'q4_0')) {
    process.stderr.write('Usage: npx tsx bench/speculate/chain-model.ts TO.gguf [q4_k_m|q4_0]\n')
    process.exitCode = 2
  } else {
    await writeChainModel(to, type)
  }
}
