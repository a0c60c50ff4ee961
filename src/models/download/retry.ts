import { HttpError, PROXY_REFUSED, untrusted } from '../http.js'

export interface RetryPolicy {
  /** Failures in a row, without a byte of progress, after which a download is given up. */
  attempts: number
  /** Milliseconds before the first repetition; each later one waits twice as long. */
  firstDelay: number
  maxDelay: number
  /** A server may ask for longer than that; it is asked again after it all the same. */
  maxRetryAfter: number
}

/** About two minutes in all, so that a router has time to start anew. */
export const defaultRetry: RetryPolicy = { attempts: 7, firstDelay: 1000, maxDelay: 30_000, maxRetryAfter: 120_000 }

/**
 * Milliseconds to wait after the nth failure in a row: doubled each time, and by chance up to half less, so that many
 * connections do not come back at the same moment. What the server asks for goes before.
 */
export function retryDelay(policy: RetryPolicy, failures: number, error: unknown, random = Math.random): number {
  const asked = error instanceof HttpError ? error.retryAfter : undefined
  if (asked !== undefined) return Math.min(asked, policy.maxRetryAfter)
  const delay = Math.min(policy.maxDelay, policy.firstDelay * 2 ** (failures - 1))
  return delay * (1 - random() / 2)
}

// 408 and 425 ask for the same request once more; 5xx are the server's own troubles.
const transientStatus = (status: number) => status >= 500 || [408, 425, 429].includes(status)
// Before anything was received they mean a wrong name, no network or (the last one) a proxy that refuses; later, that the
// network went away.
const unreachable = new Set(['ENOTFOUND', 'ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', PROXY_REFUSED])

/**
 * Whether asking again can help.
 * @param begun something was received from this server before.
 */
export function isTransient(error: unknown, begun: boolean): boolean {
  if (!(error instanceof HttpError)) return false
  if (error.status !== undefined) return transientStatus(error.status)
  const reason = error.reason ?? ''
  return !untrusted.test(reason) && (begun || !unreachable.has(reason))
}
