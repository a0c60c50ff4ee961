import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { type AddonFacts, brokenAddon, missingAddon } from './addon-missing.js'
import { builtFolder } from './builder/place.js'
import { Phi2Error } from './errors.js'
import { type BackendAttempt, loadGpuBackends } from './gpu/load.js'
import type { NativeAddon } from './native.js'
import { moduleUrl, packageRoot, platformPackages, realPath } from './package-root.js'

const platform = `${process.platform}-${process.arch}`

let attempts: readonly BackendAttempt[] = []

/** What became of the GPU backends when the addon was opened. */
export function backendAttempts(): readonly BackendAttempt[] {
  return attempts
}

/** The first of: the file that `PHI2_BINDING` names, the local build, what `phi2 build` made, the platform's package. */
export function openAddon(): NativeAddon {
  const given = process.env.PHI2_BINDING
  if (given) return open(resolve(given), 'Correct PHI2_BINDING or unset it.')

  const local = realPath(join(packageRoot(), 'build', 'Release', 'phi2.node'))
  if (existsSync(local)) return open(local, 'Build it again with `npm run build`.')

  const built = join(builtFolder(), 'phi2.node')
  if (existsSync(built)) {
    return open(built, 'Build it again with `npx phi2 build`, or remove it with `npx phi2 build --remove`.')
  }

  const installed = find(`@phi2/${platform}/phi2.node`)
  if (installed === undefined) throw new Phi2Error('PHI2_BINDING_NOT_FOUND', missingAddon(facts(), local))
  return open(realPath(installed), 'Remove node_modules and install again.')
}

function open(path: string, remedy: string): NativeAddon {
  try {
    const addon = createRequire(moduleUrl())(path) as NativeAddon
    attempts = loadGpuBackends(addon, dirname(path))
    addon.initBackend(dirname(path))
    process.once('exit', () => addon.stopForExit())
    return addon
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new Phi2Error('PHI2_BINDING_NOT_FOUND', brokenAddon(facts(), path, reason, remedy), { cause })
  }
}

/**
 * The path of a package's file. As this package sees it, which in pnpm's layout is the only one that does; and as a
 * bundle with this code sees it.
 */
function find(request: string): string | undefined {
  for (const from of [join(packageRoot(), 'package.json'), moduleUrl()]) {
    try {
      return createRequire(from).resolve(request)
    } catch {
      // Not from there.
    }
  }
  return undefined
}

function facts(): AddonFacts {
  const packages = platformPackages()
  const foreign = packages.find((name) => name !== `@phi2/${platform}` && find(`${name}/package.json`) !== undefined)
  return { platform, libc: libcVersion(), packages, foreign }
}

function libcVersion(): string | undefined {
  if (process.platform !== 'linux') return undefined
  try {
    const { header, sharedObjects } = process.report.getReport() as {
      header: { glibcVersionRuntime?: string }
      sharedObjects?: string[]
    }
    return header.glibcVersionRuntime ?? (sharedObjects?.some((path) => path.includes('musl')) ? 'musl' : undefined)
  } catch {
    // Not every runtime that is like Node has reports.
    return undefined
  }
}
