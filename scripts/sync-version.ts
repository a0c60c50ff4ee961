// Called by `npm version`: package.json has the version, and the platforms' packages get it.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageVersion } from '../src/package-root.js'
import { packageFolder, platformManifest, targets } from './targets.js'

for (const target of targets) {
  const manifest = { ...platformManifest(target), version: packageVersion() }
  writeFileSync(join(packageFolder(target), 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
}
