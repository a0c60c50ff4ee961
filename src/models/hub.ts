import { optionError, Phi2Error } from '../errors.js'
import { readHubToken } from './hub-token.js'

export type Hub = 'huggingface' | 'modelscope'

export type Environment = Readonly<Record<string, string | undefined>>

/** A file of a repository on a hub, or the whole repository. */
export interface HubRef {
  readonly hub: Hub
  /** `org/name` */
  readonly repository: string
  /** Undefined: the whole repository. */
  readonly path?: string | undefined
  /** Branch, tag or commit. @default the hub's main branch */
  readonly revision?: string | undefined
  /** Origin of the hub when the reference was a URL. @default what the environment says */
  readonly endpoint?: string | undefined
}

/** A file that lies elsewhere. */
export interface UrlRef {
  readonly url: string
}

export type RemoteRef = HubRef | UrlRef

/** What a request for a file needs. */
export interface RemoteFile {
  readonly url: string
  /** May carry a token: for requests to the origin of `url` only, and for no message. */
  readonly headers: Readonly<Record<string, string>>
  /** A name for the file on disk. */
  readonly fileName: string
  /** What to call it in messages and beside the file: without query and token. */
  readonly source: string
}

interface HubFacts {
  readonly prefix: string
  readonly endpoint: string
  readonly mainBranch: string
  /** Hosts whose pages are this hub's. */
  readonly hosts: readonly string[]
  /** The path of a file's page or download: repository, revision, path. */
  readonly page: RegExp
}

export const HUBS: Readonly<Record<Hub, HubFacts>> = {
  huggingface: {
    prefix: 'hf:',
    endpoint: 'https://huggingface.co',
    mainBranch: 'main',
    hosts: ['huggingface.co', 'hf.co'],
    page: /^\/([^/]+\/[^/]+)\/(?:resolve|blob|raw)\/([^/]+)\/(.+)$/,
  },
  modelscope: {
    prefix: 'modelscope:',
    endpoint: 'https://www.modelscope.cn',
    mainBranch: 'master',
    hosts: ['modelscope.cn', 'www.modelscope.cn'],
    page: /^\/models\/([^/]+\/[^/]+)\/(?:resolve|file\/view)\/([^/]+)\/(.+)$/,
  },
}

export const HUB_NAMES = Object.keys(HUBS) as readonly Hub[]

/**
 * Reads `hf:org/name/path[@revision]`, `modelscope:org/name/path[@revision]` and `http(s):` URLs; without a path a whole
 * repository is meant. The addresses of files and of their pages on the two hubs are read as such references. Undefined
 * for anything else, which may be a path or a name.
 * @throws {Phi2Error} `PHI2_UNKNOWN_MODEL` for a reference that cannot be one
 */
export function parseRemoteRef(text: string, environment: Environment = process.env): RemoteRef | undefined {
  const hub = HUB_NAMES.find((name) => text.startsWith(HUBS[name].prefix))
  if (hub) return hubRef(hub, text)
  return /^https?:/i.test(text) ? urlRef(text, environment) : undefined
}

function hubRef(hub: Hub, text: string): HubRef {
  const { prefix } = HUBS[hub]
  const rest = text.slice(prefix.length)
  // A revision may hold slashes (refs/pr/1), so the last @ counts; a file with an @ in its name needs its revision named.
  const at = rest.lastIndexOf('@')
  const [place, revision] = at < 0 ? [rest, undefined] : [rest.slice(0, at), rest.slice(at + 1)]
  const [org = '', name = '', ...path] = place.split('/')
  const ref = { hub, repository: `${org}/${name}`, path: path.length > 0 ? path.join('/') : undefined, revision }
  return checkHubRef(ref, text, `${prefix}org/name/file.gguf, with @revision behind it if wanted`)
}

function checkHubRef(ref: HubRef, text: string, expected: string): HubRef {
  const { path, repository, revision } = ref
  const sound =
    /^\w[\w.-]*\/\w[\w.-]*$/.test(repository) &&
    (path === undefined || path.split('/').every(isSoundSegment)) &&
    (revision === undefined || revision.split('/').every(isSoundSegment))
  if (!sound) throw new Phi2Error('PHI2_UNKNOWN_MODEL', `Expected ${expected} but found ${JSON.stringify(text)}.`)
  return ref
}

/** Good as the name of a file on every system, and no step out of the folder. */
function isSoundSegment(segment: string): boolean {
  return segment !== '' && !/^\.+$/.test(segment) && !/[\\:*?"<>|\x00-\x1f\x7f-\x9f]/.test(segment)
}

function urlRef(text: string, environment: Environment): RemoteRef {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url) throw new Phi2Error('PHI2_UNKNOWN_MODEL', `${JSON.stringify(text)} is not a URL.`)
  if (url.username !== '' || url.password !== '') {
    throw new Phi2Error(
      'PHI2_UNKNOWN_MODEL',
      `The URL of ${url.host} carries a user name or password. Leave them out: a hub's token belongs in HF_TOKEN.`,
    )
  }
  for (const hub of HUB_NAMES) {
    const { hosts, page } = HUBS[hub]
    const ours = hosts.includes(url.host) || url.origin === new URL(hubEndpoint(hub, environment)).origin
    const [, repository, revision, path] = (ours && page.exec(url.pathname)?.map(decode)) || []
    if (repository === undefined) continue
    return checkHubRef({ hub, repository, path, revision, endpoint: url.origin }, text, 'the address of a file')
  }
  return { url: url.href }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

export function isHubRef(ref: RemoteRef): ref is HubRef {
  return 'hub' in ref
}

/** The reference as it is written: for messages and records. Of a URL the query is left out, which may be a signature. */
export function formatRef(ref: RemoteRef): string {
  if (!isHubRef(ref)) return ref.url.replace(/[?#].*$/s, '')
  const { hub, path, repository, revision } = ref
  const place = path === undefined ? repository : `${repository}/${path}`
  return `${HUBS[hub].prefix}${place}${revision === undefined ? '' : `@${revision}`}`
}

/**
 * Where a file is to be had. The token of Hugging Face (`HF_TOKEN`, else the one that its own tools have stored) is added
 * for the hub's own origin alone.
 * @throws RangeError with the code `PHI2_INVALID_OPTION` when `HF_ENDPOINT` or `MODELSCOPE_DOMAIN` is no address
 */
export function locate(ref: RemoteRef, environment: Environment = process.env): RemoteFile {
  const url = remoteUrl(ref, environment)
  const home = new URL(hubEndpoint('huggingface', environment)).origin
  const token = new URL(url).origin === home ? readHubToken(environment) : undefined
  return {
    url,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    fileName: fileNameOf(ref),
    source: formatRef(ref),
  }
}

function remoteUrl(ref: RemoteRef, environment: Environment): string {
  if (!isHubRef(ref)) return ref.url
  const { hub, path = '', repository } = ref
  const revision = ref.revision ?? HUBS[hub].mainBranch
  const endpoint = ref.endpoint ?? hubEndpoint(hub, environment)
  if (hub === 'modelscope') {
    return `${endpoint}/api/v1/models/${repository}/repo?${new URLSearchParams({ Revision: revision, FilePath: path })}`
  }
  const encoded = path.split('/').map(encodeURIComponent).join('/')
  return `${endpoint}/${repository}/resolve/${encodeURIComponent(revision)}/${encoded}`
}

/**
 * Address of a hub without a slash at its end: `HF_ENDPOINT` (a mirror, or a hub of one's own), `MODELSCOPE_DOMAIN`
 * (as ModelScope's own client reads it; a whole URL will do as well).
 */
export function hubEndpoint(hub: Hub, environment: Environment = process.env): string {
  const variable = hub === 'huggingface' ? 'HF_ENDPOINT' : 'MODELSCOPE_DOMAIN'
  const given = environment[variable]?.trim()
  if (!given) return HUBS[hub].endpoint
  const text = hub === 'modelscope' && !given.includes('://') ? `https://${given}` : given
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || !/^https?:$/.test(url.protocol) || url.username !== '' || url.search !== '') {
    const found = url?.username ? 'one with a user name' : JSON.stringify(given)
    throw optionError('range', `Expected an address such as ${HUBS[hub].endpoint} in ${variable} but found ${found}`)
  }
  return text.replace(/\/+$/, '')
}

function fileNameOf(ref: RemoteRef): string {
  const path = isHubRef(ref) ? (ref.path ?? ref.repository) : new URL(ref.url).pathname
  const name = decode(path.split('/').at(-1)!).replace(/[/\\:*?"<>|\x00-\x1f\x7f-\x9f]/g, '_')
  return /^\.*$/.test(name) ? 'model.gguf' : name
}
