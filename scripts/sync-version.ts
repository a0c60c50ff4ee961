// Called by `npm version`: package.json has the version, and the platforms' packages get it.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageVersion } from '../src/package-root.js'
import { packageFolder, targets } from './targets.js'

for (const target of targets) {
  const path = join(packageFolder(target), 'package.json')
  // The rest of the file stays as it is formatted.
  const manifest = readFileSync(path, 'utf8').replace(/"version": "[^"]*"/, `"version": "${packageVersion()}"`)
  writeFileSync(path, manifest)
}
