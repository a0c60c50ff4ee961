/** Every `code` that a {@link Phi2Error} can carry. Codes are stable; messages are for people and may change. */
export type Phi2ErrorCode =
  | 'PHI2_INVALID_OPTION'
  | 'PHI2_MODEL_NOT_FOUND'
  | 'PHI2_INVALID_GGUF'
  | 'PHI2_NOT_PHI2'
  | 'PHI2_MODEL_LOAD_FAILED'
  | 'PHI2_UNSUPPORTED_KV_TYPE'
  | 'PHI2_MODE_UNAVAILABLE'
  | 'PHI2_CONTEXT_FAILED'
  | 'PHI2_CONTEXT_FULL'
  | 'PHI2_BUSY'
  | 'PHI2_CLOSED'
  | 'PHI2_ABORTED'
  | 'PHI2_DECODE_FAILED'
  | 'PHI2_BINDING_NOT_FOUND'
  | 'PHI2_BUILD_FAILED'
  | 'PHI2_INVALID_CHECKPOINT'
  | 'PHI2_QUANTIZE_FAILED'
  | 'PHI2_INVALID_IMATRIX'
  | 'PHI2_TEXT_TOO_SHORT'
  | 'PHI2_VOCABULARY_MISMATCH'
  | 'PHI2_UNKNOWN_MODEL'
  | 'PHI2_DOWNLOAD_FAILED'
  | 'PHI2_ACCESS_DENIED'
  | 'PHI2_CHECKSUM_MISMATCH'
  | 'PHI2_NO_SPACE'
  | 'PHI2_INVALID_TRANSCRIPT'
  | 'PHI2_INVALID_STATE'
  | 'PHI2_IO'

/**
 * The one error class of this package. `code` says what went wrong, the message says what was expected, what was found
 * and what to do, and `cause` keeps the inner error where there was one.
 *
 * @example
 * try { await Phi2.load({ model: './nothing.gguf' }) } catch (error) {
 *   if (error instanceof Phi2Error && error.code === 'PHI2_MODEL_NOT_FOUND') …
 * }
 */
export class Phi2Error extends Error {
  override readonly name = 'Phi2Error'
  readonly code: Phi2ErrorCode

  constructor(code: Phi2ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/**
 * An option of the wrong type or out of range: a `TypeError` or `RangeError` (as JavaScript's own functions throw) that
 * carries the stable code as well.
 */
export function optionError(kind: 'type' | 'range', message: string): Error & { code: Phi2ErrorCode } {
  const error = kind === 'type' ? new TypeError(message) : new RangeError(message)
  return Object.assign(error, { code: 'PHI2_INVALID_OPTION' as const })
}

/**
 * Gives an error that comes out of the addon (a plain `Error` with a `code`) the package's class and the caller's stack.
 */
export function nativeError(error: unknown): unknown {
  if (error instanceof Phi2Error || !(error instanceof Error)) return error
  const code = (error as { code?: unknown }).code
  // A TypeError or RangeError says as much by its class.
  if (typeof code !== 'string' || !code.startsWith('PHI2_') || code === 'PHI2_INVALID_OPTION') return error
  return new Phi2Error(code as Phi2ErrorCode, error.message, { cause: error })
}
