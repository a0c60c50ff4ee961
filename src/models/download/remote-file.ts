import { Phi2Error } from '../../errors.js'
import { type HttpAnswer, HttpError, type OpenOptions, openUrl, shownUrl } from '../http.js'
import { type Headers, linkedSha256, parseContentRange, parseSize } from '../http-headers.js'

/** What tells one version of a file from another. */
export interface Validator {
  etag?: string
  lastModified?: string
}

/** A file on a server, as its first answer described it. */
export interface RemoteFile {
  /** Without secrets, as given by the caller and not as redirected to. */
  name: string
  size: number | undefined
  /** Whether the server gives parts of it. */
  ranges: boolean
  validator: Validator
  /** What the hub says it is. */
  sha256: string | undefined
  revision: string | undefined
  /** Where the redirects ended, for the next requests, and what is sent there. */
  url: string
  requestHeaders: Readonly<Record<string, string>>
}

/**
 * Finds out about a file by asking for its first byte: every server that knows ranges shows so, and unlike HEAD it works
 * with signed URLs. A server that does not know them begins to send the whole file: that answer comes along as `whole`.
 */
export async function openRemote(
  url: string,
  askForRanges: boolean,
  options: OpenOptions,
): Promise<{ remote: RemoteFile; whole?: HttpAnswer }> {
  const name = shownUrl(url)
  const plain = () => openUrl(url, options)
  if (!askForRanges) return describeWhole(name, await plain())
  let answer: HttpAnswer
  try {
    answer = await openUrl(url, { ...options, headers: { ...options.headers, range: 'bytes=0-0' } })
  } catch (error) {
    // An empty file has no first byte.
    if (!(error instanceof HttpError) || error.status !== 416) throw error
    return describeWhole(name, await plain())
  }
  if (answer.status !== 206) return describeWhole(name, answer)
  answer.discard()
  const range = parseContentRange(answer.headers['content-range'])
  if (range?.start !== 0 || range.size === undefined) return describeWhole(name, await plain())
  const remote = describe(name, answer, range.size, true)
  return hasIdentity(remote) ? { remote } : describeWhole(name, await plain())
}

function describeWhole(name: string, whole: HttpAnswer): { remote: RemoteFile; whole: HttpAnswer } {
  return { remote: describe(name, whole, parseSize(whole.headers['content-length']), false), whole }
}

function describe(name: string, answer: HttpAnswer, size: number | undefined, ranges: boolean): RemoteFile {
  const { headers } = answer
  try {
    checkEncoding(name, headers)
    const linkedSize = parseSize(headers['x-linked-size'])
    if (size !== undefined && linkedSize !== undefined && size !== linkedSize) {
      throw new Phi2Error(
        'PHI2_DOWNLOAD_FAILED',
        `${name} has ${linkedSize} bytes by what the hub says, but its storage has ${size}. Try again later.`,
      )
    }
    return {
      name,
      size: size ?? linkedSize,
      ranges,
      validator: validatorOf(headers),
      sha256: linkedSha256(headers),
      revision: headers['x-repo-commit'],
      url: answer.url,
      requestHeaders: withoutRange(answer.requestHeaders),
    }
  } catch (error) {
    answer.discard()
    throw error
  }
}

/** What is stored is the file itself; a server that compresses although it was told not to would damage it. */
export function checkEncoding(name: string, headers: Headers): void {
  const encoding = headers['content-encoding']
  if (encoding === undefined || encoding === 'identity') return
  throw new Phi2Error(
    'PHI2_DOWNLOAD_FAILED',
    `${name} came compressed although it was asked for as it is. See whether a proxy changes what it passes on.`,
  )
}

function withoutRange(headers: Readonly<Record<string, string>>): Record<string, string> {
  const { range: _, ...rest } = headers
  return rest
}

/** A date counts only if a later change would get a later one: dates are whole seconds. */
function validatorOf({ date = '', etag, 'last-modified': lastModified = '' }: Headers): Validator {
  const isOld = Date.parse(date) - Date.parse(lastModified) >= 1000
  return { ...(etag !== undefined && { etag }), ...(isOld && { lastModified }) }
}

/** Whether an answer to a range belongs to the file. Only a date may be left out there. */
export function isPartOf({ validator }: FileIdentity, { etag, 'last-modified': lastModified }: Headers): boolean {
  if (validator.etag !== undefined || etag !== undefined) return weak(etag) === weak(validator.etag)
  return validator.lastModified === undefined || [undefined, validator.lastModified].includes(lastModified)
}

/** The ETag decides where there is one. Without any validator nothing is known to be the same. */
export function sameValidator(a: Validator, b: Validator): boolean {
  if (a.etag !== undefined || b.etag !== undefined) return weak(a.etag) === weak(b.etag)
  return a.lastModified !== undefined && a.lastModified === b.lastModified
}

function weak(etag: string | undefined): string | undefined {
  return etag?.replace(/^W\//, '')
}

/** The condition under which a part is wanted; a weak ETag is not allowed there. */
export function ifRange({ etag, lastModified }: Validator): Record<string, string> {
  const condition = etag === undefined ? lastModified : etag.startsWith('W/') ? undefined : etag
  return condition === undefined ? {} : { 'if-range': condition }
}

/** What a partial file belongs to. */
export type FileIdentity = Pick<RemoteFile, 'name' | 'size' | 'validator' | 'sha256'>

/**
 * Whether bytes that came at different times can be told to be of one version. Without, parts of two versions would be
 * mixed and nobody would notice: so the file is taken from one answer, from its first byte to its last.
 */
export function hasIdentity({ size, validator, sha256 }: FileIdentity): boolean {
  return size !== undefined && (sha256 !== undefined || 'if-range' in ifRange(validator))
}

/**
 * Whether what there is of `a` can be completed from `b`. The hub's sha256 tells it for certain, from whichever place the
 * bytes came; otherwise it has to be the same place with the same validator.
 */
export function sameFile(a: FileIdentity, b: FileIdentity): boolean {
  if (!hasIdentity(a) || !hasIdentity(b) || a.size !== b.size) return false
  if (a.sha256 !== undefined && b.sha256 !== undefined) return a.sha256 === b.sha256
  return a.name === b.name && sameValidator(a.validator, b.validator)
}
