import { TYPES_WITHOUT_IMATRIX, type TypeWithoutImatrix } from './file-types.js'
import { FLOAT_TYPES } from './format.js'

/** What a random model can be: there is no importance matrix for it. */
export type SynthType = TypeWithoutImatrix
export const SYNTH_TYPES = TYPES_WITHOUT_IMATRIX

/** What the weights of a checkpoint can be. */
export const CHECKPOINT_TYPES = FLOAT_TYPES
