import { needsNoImatrix, quantizeType, TYPES_WITHOUT_IMATRIX, type TypeWithoutImatrix } from '../../gguf/file-types.js'
import { optionError } from '../errors.js'

/** What can be made from a checkpoint alone. */
export type MadeType = TypeWithoutImatrix
export const MADE_TYPES = TYPES_WITHOUT_IMATRIX

/**
 * The type of a name in upper or lower case.
 * @throws {TypeError | RangeError} `PHI2_INVALID_OPTION` with the reason when it cannot be made from a checkpoint alone
 */
export function madeType(given: unknown): MadeType {
  const type = quantizeType(given)
  if (needsNoImatrix(type)) return type
  throw optionError(
    'range',
    `${type} needs an importance matrix: convert to f16, then use \`phi2 imatrix\` and \`phi2 quantize --imatrix\`. Without one: ${MADE_TYPES.join(', ')}`,
  )
}

/** The names of models in the cache: their types. All that is in the catalog can be made as well. */
export const MODEL_NAMES: readonly string[] = MADE_TYPES

/** The name meant by a text, in whichever case; undefined for a path, a reference, and words that name nothing. */
export function modelName(text: string): string | undefined {
  const name = text.toLowerCase()
  return MODEL_NAMES.includes(name) ? name : undefined
}
