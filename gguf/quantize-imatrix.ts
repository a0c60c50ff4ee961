import type { GgufTensorInfo } from './format.js'
import { type Imatrix, invalidImatrix, meanSquares } from './imatrix-file.js'

/** How much each column of a matrix matters. */
export interface ColumnWeights {
  name: string
  values: Float32Array
}

/**
 * Puts an importance matrix to the tensors of a model, and makes sure that it was computed with that model or one of
 * its shape. q, k and v have the same input, so what was seen of one of them serves where they are one matrix.
 *
 * @throws {Phi2Error} `PHI2_INVALID_IMATRIX` when it knows other matrices, lacks one of a layer, or lengths differ.
 */
export function columnWeights(path: string, imatrix: Imatrix, tensors: readonly GgufTensorInfo[]): ColumnWeights[] {
  const matrices = tensors.filter(({ name, shape }) => shape.length > 1 && name.endsWith('.weight'))
  const known = new Set(matrices.flatMap(({ name }) => [name, ...siblings(name)]))
  const stranger = [...imatrix.entries.keys()].find((name) => !known.has(name))
  if (stranger !== undefined) {
    throw invalidImatrix(path, `it speaks of ${stranger}, which this model does not have; it belongs to another model`)
  }
  return matrices.flatMap(({ name, shape }) => {
    const found = [name, ...siblings(name)].find((candidate) => imatrix.entries.has(candidate))
    if (found === undefined) {
      if (!name.startsWith('blk.')) return []
      throw invalidImatrix(path, `it says nothing of ${name}; it is incomplete or belongs to another model`)
    }
    const values = meanSquares(imatrix.entries.get(found)!)
    if (values.length !== shape[0]) {
      const found = `it has ${values.length} columns for ${name}, which has ${shape[0]}`
      throw invalidImatrix(path, `${found}; it belongs to another model`)
    }
    return [{ name, values }]
  })
}

/** `blk.3.attn_q.weight` → `blk.3.attn_qkv.weight`, and the other way round. */
function siblings(name: string): string[] {
  const match = /^(blk\.\d+\.attn_)(q|k|v|qkv)(\.weight)$/.exec(name)
  if (match === null) return []
  const [, start, part, end] = match
  return (part === 'qkv' ? ['q', 'k', 'v'] : ['qkv']).map((other) => `${start}${other}${end}`)
}

/** The keys that llama.cpp's quantizer leaves in the new file. */
export function imatrixKeys(path: string, { datasets, chunkCount, entries }: Imatrix) {
  const keys: { name: string; value: string | number }[] = [{ name: 'quantize.imatrix.file', value: shorten(path) }]
  if (datasets[0] !== undefined) keys.push({ name: 'quantize.imatrix.dataset', value: shorten(datasets[0]) })
  keys.push({ name: 'quantize.imatrix.entries_count', value: entries.size })
  if (chunkCount > 0) keys.push({ name: 'quantize.imatrix.chunks_count', value: chunkCount })
  return keys
}

/** As the engine has room for, without half a character at the end. */
const MAX_TEXT = 127

function shorten(text: string): string {
  const bytes = Buffer.from(text)
  if (bytes.length <= MAX_TEXT) return text
  let end = MAX_TEXT
  while ((bytes[end]! & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}
