import { FILE_TYPES, QUANTIZE_TYPES, type QuantizeType } from './file-types.js'
import type { FloatType } from './tensor-map.js'

/** What a random model can be: there is no importance matrix for it. */
export type SynthType = {
  [Name in QuantizeType]: (typeof FILE_TYPES)[Name]['imatrix'] extends 'required' ? never : Name
}[QuantizeType]

export const SYNTH_TYPES = QUANTIZE_TYPES.filter((type): type is SynthType => FILE_TYPES[type].imatrix !== 'required')

/** What the weights of a checkpoint can be. */
export const CHECKPOINT_TYPES = ['f32', 'f16', 'bf16'] as const satisfies readonly FloatType[]
