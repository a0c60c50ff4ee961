import { join } from 'node:path'
import { cacheFolder } from '../models/cache.js'
import { packageVersion } from '../package-root.js'

/**
 * Where `phi2 build` puts what it compiles: in the cache, since a package's own folder may be read-only, an archive, or
 * gone with the next installation. Another version of this package is another program there.
 */
export function builtFolder(environment: NodeJS.ProcessEnv = process.env): string {
  return join(cacheFolder(environment), 'builds', `${packageVersion()}-${process.platform}-${process.arch}`)
}
