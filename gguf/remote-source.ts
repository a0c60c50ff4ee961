import { Phi2Error } from '../src/errors.js'
import { type RemoteRange, readRange } from '../src/models/http.js'
import type { ByteSource } from './byte-source.js'

/**
 * A file behind HTTP, read by ranges. The second range goes straight to where the redirects of the first one ended.
 * Headers such as `authorization` reach the origin of `url` only.
 */
export class RemoteSource implements ByteSource {
  // Of a real Phi-2 the header takes 1.8 MB: three requests in all.
  readonly firstRead = 512 * 1024
  size: number | undefined
  private last: RemoteRange | undefined

  /** `name` is shown: it must not hold the query of the URL, which can be a signature. */
  constructor(
    readonly name: string,
    private readonly url: string,
    private readonly headers: Readonly<Record<string, string>> = {},
  ) {}

  /** @throws {Phi2Error} `PHI2_ACCESS_DENIED`, `PHI2_DOWNLOAD_FAILED` */
  async read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    const { url, requestHeaders } = this.last ?? { url: this.url, requestHeaders: this.headers }
    const range = await readRange(url, offset, offset + length, { headers: requestHeaders, signal })
    const { etag } = this.last?.headers ?? {}
    if (this.last && (range.size !== this.size || range.headers.etag !== etag)) {
      throw new Phi2Error('PHI2_DOWNLOAD_FAILED', `${this.name} changed while it was read; try again.`)
    }
    // A server may answer with less than was asked for; one that does it again and again would take forever.
    const expected = Math.min(length, (range.size ?? offset + length) - offset)
    if (range.bytes.length < expected) {
      const found = `${range.bytes.length} of the ${expected} bytes`
      throw new Phi2Error('PHI2_DOWNLOAD_FAILED', `${this.name} gave only ${found} that were asked for; try again.`)
    }
    this.last = range
    this.size = range.size
    return range.bytes
  }

  async close(): Promise<void> {}
}
