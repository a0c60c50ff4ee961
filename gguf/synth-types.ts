import { FILE_TYPES, QUANTIZE_TYPES, type QuantizeType } from './file-types.js'

/** What a random model can be: there is no importance matrix for it. */
export type SynthType = {
  [Name in QuantizeType]: (typeof FILE_TYPES)[Name]['imatrix'] extends 'required' ? never : Name
}[QuantizeType]

export const SYNTH_TYPES = QUANTIZE_TYPES.filter((type): type is SynthType => FILE_TYPES[type].imatrix !== 'required')
