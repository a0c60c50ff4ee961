/** Headers of an answer: names in lower case, one value each. */
export type Headers = Readonly<Record<string, string>>

/** What a 206 says that it holds: bytes from `start` to before `end`, of `size` in all where the server knows. */
export interface ContentRange {
  start: number
  end: number
  size: number | undefined
}

/** Reads `Content-Range: bytes 0-99/1234`. Undefined for anything else, also for ranges that no file can have. */
export function parseContentRange(value: string | undefined): ContentRange | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i.exec(value?.trim() ?? '')
  if (!match) return undefined
  const [start, last] = [Number(match[1]), Number(match[2])]
  const size = match[3] === '*' ? undefined : Number(match[3])
  if (last < start || (size !== undefined && last >= size)) return undefined
  return { start, end: last + 1, size }
}

/** The size in the `Content-Range: bytes *\/1234` of a 416. */
export function parseUnsatisfiedRange(value: string | undefined): number | undefined {
  const match = /^bytes \*\/(\d{1,15})$/i.exec(value?.trim() ?? '')
  return match ? Number(match[1]) : undefined
}

/** A count of bytes as in `Content-Length` and `x-linked-size`. */
export function parseSize(value: string | undefined): number | undefined {
  return value !== undefined && /^\d{1,15}$/.test(value.trim()) ? Number(value) : undefined
}

/** Milliseconds that `Retry-After` asks to wait for, given as seconds or as a date; never negative. */
export function parseRetryAfter(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined
  if (/^\s*\d{1,9}\s*$/.test(value)) return Number(value) * 1000
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

/** The sha256 in the hub's `x-linked-etag`: files in large-file storage have it as their ETag, small ones a git hash. */
export function linkedSha256(headers: Headers): string | undefined {
  return /^(?:W\/)?"?([0-9a-f]{64})"?$/i.exec(headers['x-linked-etag']?.trim() ?? '')?.[1]?.toLowerCase()
}
