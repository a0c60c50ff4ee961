import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildError } from '../src/builder/run.js'
import { npmCommand } from '../src/npm.js'
import { packageRoot, packageVersion } from '../src/package-root.js'
import { packageFolder, platformManifest, type Target, targets } from './targets.js'

export interface Tarball {
  path: string
  bytes: number
  unpackedBytes: number
}

/** `npm pack` of a folder as it is, without its scripts. */
export function packFolder(folder: string, destination: string): Tarball {
  mkdirSync(destination, { recursive: true })
  const npm = npmCommand()
  const options = ['--json', '--ignore-scripts', '--pack-destination', destination]
  const { status, stdout, stderr, error } = spawnSync(npm.command, [...npm.args, 'pack', ...options], {
    cwd: folder,
    encoding: 'utf8',
    shell: npm.command === 'npm.cmd',
    env: { ...process.env, npm_config_dry_run: 'false', npm_config_loglevel: 'error' },
  })
  if (status !== 0) throw buildError(`Could not pack ${folder}: ${error?.message ?? stderr}`)
  const packed = JSON.parse(stdout.slice(stdout.search(/[[{]/))) as Record<string, PackedFile>
  const { filename, size, unpackedSize } = Object.values(packed)[0]!
  return { path: join(destination, filename), bytes: size, unpackedBytes: unpackedSize }
}

interface PackedFile {
  filename: string
  size: number
  unpackedSize: number
}

/**
 * Packs phi2 itself as it is published: with the platforms' packages as optional dependencies in its own version, which
 * the package.json of a checkout does not name, as `npm ci` would look for them in the registry before they are there;
 * and without what only a checkout uses.
 */
export function packMain(destination: string): Tarball {
  const work = mkdtempSync(join(tmpdir(), 'phi2-pack-'))
  try {
    const { path } = packFolder(packageRoot(), work)
    const { status } = spawnSync('tar', ['-xzf', path, '-C', work])
    if (status !== 0) throw buildError(`Could not unpack ${path}.`)
    const folder = join(work, 'package')
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<string, unknown>
    writeFileSync(join(folder, 'package.json'), `${JSON.stringify(publishedManifest(manifest), null, 2)}\n`)
    return packFolder(folder, destination)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

export function publishedManifest(checkout: Record<string, unknown>): Record<string, unknown> {
  const { scripts, devDependencies, ...published } = checkout
  const pins = targets.map((target) => [platformManifest(target).name, checkout.version])
  return { ...published, optionalDependencies: Object.fromEntries(pins) }
}

/** Packs a platform's package, whose libraries `npm run prebuilt` has put there. */
export function packPlatform(target: Target, destination: string): Tarball {
  const { name, version } = platformManifest(target)
  if (version !== packageVersion()) {
    throw buildError(`${name} is ${version} but phi2 is ${packageVersion()}. \`npm version\` sets both.`)
  }
  const folder = packageFolder(target)
  if (!existsSync(join(folder, 'phi2.node'))) {
    throw buildError(`There are no libraries in ${folder}. \`npm run prebuilt -- ${target.name}\` makes them.`)
  }
  return packFolder(folder, destination)
}
