import { dirname } from 'node:path'
import { withTemporaryFile } from '../../gguf/atomic-file.js'
import { convert } from '../../gguf/convert.js'
import { FILE_TYPES, type QuantizeType } from '../../gguf/file-types.js'
import { checkFreeSpace } from '../../gguf/free-space.js'
import { OUT_TYPES, type OutType } from '../../gguf/out-types.js'
import { quantize } from '../../gguf/quantize.js'
import type { Checkpoint } from './checkpoint-record.js'

export interface MakeOptions {
  checkpoint: Checkpoint
  type: QuantizeType
  to: string
  signal?: AbortSignal | undefined
  onProgress?: ((step: 'convert' | 'quantize', fraction: number) => void) | undefined
}

/**
 * Makes a GGUF file of a type from a checkpoint: converted in one go where the converter writes that type, else by way of
 * an unquantized file beside it, which is removed.
 */
export async function makeModel(options: MakeOptions): Promise<void> {
  const { checkpoint, type, to, signal, onProgress } = options
  await checkFreeSpace(dirname(to), roomToMake(type, checkpoint.bytes), `Making ${type} from ${checkpoint.repository}`)
  const from = checkpoint.folder
  const report = (step: 'convert' | 'quantize') => (fraction: number) => onProgress?.(step, fraction)
  if (isOutType(type)) {
    await convert({ from, to, outtype: type, signal, onProgress: report('convert') })
    return
  }
  await withTemporaryFile(to, async (unquantized) => {
    await convert({ from, to: unquantized, signal, onProgress: report('convert') })
    await quantize({ from: unquantized, to, type, signal, onProgress: report('quantize') })
  })
}

function isOutType(type: QuantizeType): type is QuantizeType & OutType {
  return (OUT_TYPES as readonly string[]).includes(type)
}

/** Bytes needed at most while a model is made from a checkpoint in 16 bits. */
export function roomToMake(type: QuantizeType, checkpointBytes: number): number {
  const result = Math.ceil((checkpointBytes * FILE_TYPES[type].bits) / 16)
  return isOutType(type) ? result : checkpointBytes + result
}
