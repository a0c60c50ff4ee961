import { type Agent, Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { HttpProxyAgent } from 'http-proxy-agent'
import { HttpsProxyAgent } from 'https-proxy-agent'
import { getProxyForUrl } from 'proxy-from-env'
import { optionError } from '../errors.js'

// Why these packages beside Node's own client: Node reads the proxy variables itself from version 24 on only, and undici 7, the
// last for Node 20, ends the process when a server closes a connection that is held back (nodejs/undici#5360).

/**
 * The proxy that the environment names for a URL: `http_proxy` or `https_proxy`, in small letters or capitals, unless
 * `no_proxy` has the host.
 *
 * @throws {RangeError} `PHI2_INVALID_OPTION` when the variable holds no address of an http or https proxy.
 */
export function proxyFor(url: URL): URL | undefined {
  const name = `${url.protocol.slice(0, -1)}_proxy`
  const variable = process.env[name] ? name : name.toUpperCase()
  const value = process.env[variable]
  if (!value || getProxyForUrl(url.href) === '') return undefined
  // `proxy.example:3128` means http, as everywhere else
  const address = value.includes('://') ? value : `http://${value}`
  const proxy = URL.canParse(address) ? new URL(address) : undefined
  if (proxy?.protocol === 'http:' || proxy?.protocol === 'https:') return proxy
  throw optionError('range', `Expected the address of a proxy in ${variable}, such as http://proxy:3128`)
}

/** Made with the first request that needs one. Idle connections are kept for the next one and do not keep the process alive. */
const agents = new Map<string, Agent>()

/**
 * What makes the connections for a URL: direct ones, or through its proxy. Plain http goes through a proxy as a request for the
 * whole URL, since many allow tunnels to port 443 only.
 */
export function agentFor(url: URL): Agent {
  const proxy = proxyFor(url)
  const key = `${url.protocol} ${proxy?.href ?? ''}`
  const known = agents.get(key)
  if (known) return known
  const agent = makeAgent(url.protocol === 'https:', proxy)
  agents.set(key, agent)
  return agent
}

function makeAgent(secure: boolean, proxy: URL | undefined): Agent {
  if (proxy) return secure ? new HttpsProxyAgent(proxy) : new HttpProxyAgent(proxy)
  return secure ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true })
}
