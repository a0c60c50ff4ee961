// Packs phi2 and the packages of the platforms as they are published, into build/packages.
//   npm run pack:all                   all platforms
//   npm run pack:all -- linux-x64 …    those named
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from '../src/package-root.js'
import { packMain, packPlatform, type Tarball } from './packages.js'
import { runScript } from './run-script.js'
import { findTarget, targets } from './targets.js'

const names = process.argv.slice(2)
await runScript(async () => {
  const destination = join(packageRoot(), 'build', 'packages')
  rmSync(destination, { recursive: true, force: true })
  const wanted = names.length > 0 ? names.map(findTarget) : targets
  tell(packMain(destination))
  for (const target of wanted) tell(packPlatform(target, destination))
})

function tell({ path, bytes }: Tarball): void {
  process.stdout.write(`${path} ${(bytes / 1e6).toFixed(1)} MB\n`)
}
