import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename } from 'node:path'
import { after } from 'node:test'
import { type PlatformManifest, platformManifest, targets } from '../../scripts/targets.js'

/**
 * A registry on this machine for the platforms' packages, closed when the test file is done. Of all but the one packed
 * only the manifest is there, which is what a package manager reads of packages for other platforms.
 */
export async function startRegistry(packed: string): Promise<string> {
  const tarball = readFileSync(packed)
  const manifests = new Map(targets.map(platformManifest).map((manifest) => [manifest.name, manifest]))
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '').slice(1)
    const manifest = manifests.get(path)
    if (manifest) {
      response.setHeader('content-type', 'application/json')
      return response.end(JSON.stringify(packument(manifest, `${address()}/${basename(packed)}`, tarball)))
    }
    if (path !== basename(packed)) response.statusCode = 404
    return response.end(path === basename(packed) ? tarball : undefined)
  })
  const address = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  after(() => {
    server.close()
    server.closeAllConnections()
  })
  return address()
}

function packument(manifest: PlatformManifest, tarball: string, bytes: Buffer): object {
  const { name, version } = manifest
  const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`
  // Package managers may refuse what is a few days old only.
  const published = '2020-01-01T00:00:00.000Z'
  return {
    name,
    'dist-tags': { latest: version },
    time: { created: published, modified: published, [version]: published },
    versions: { [version]: { ...manifest, dist: { tarball, integrity } } },
  }
}
