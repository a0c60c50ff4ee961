import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildError } from '../src/builder/run.js'
import { npmCommand } from '../src/npm.js'
import { packageRoot } from '../src/package-root.js'

const PEER = 'node-llama-cpp'

const PLATFORMS: Record<string, string> = {
  'linux-x64': 'linux-x64',
  'linux-arm64': 'linux-arm64',
  'darwin-x64': 'mac-x64',
  'darwin-arm64': 'mac-arm64-metal',
  'win32-x64': 'win-x64',
  'win32-arm64': 'win-arm64',
}

/**
 * Installs node-llama-cpp as it is published into bench/node_modules, with the one of its platform packages that runs on
 * the processor (the others take 600 MB), and gives the path of its entry.
 */
export function installPeer(): string {
  const folder = join(packageRoot(), 'bench')
  const version = peerVersion()
  const platform = PLATFORMS[`${process.platform}-${process.arch}`]
  if (platform === undefined) throw buildError(`${PEER} has no package for ${process.platform}-${process.arch}.`)
  const installed = [PEER, `@${PEER}/${platform}`].every((name) => versionIn(folder, name) === version)
  if (!installed) install(folder, `@${PEER}/${platform}@${version}`)
  return join(folder, 'node_modules', PEER, 'dist', 'index.js')
}

/** The version that bench/package.json asks for. */
export function peerVersion(): string {
  const { dependencies } = JSON.parse(readFileSync(join(packageRoot(), 'bench', 'package.json'), 'utf8'))
  return dependencies[PEER]
}

function versionIn(folder: string, name: string): string | undefined {
  const path = join(folder, 'node_modules', name, 'package.json')
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).version : undefined
}

function install(folder: string, platformPackage: string): void {
  const npm = npmCommand()
  const options = ['--no-save', '--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', folder]
  const { status, error } = spawnSync(npm.command, [...npm.args, 'install', ...options, platformPackage], {
    cwd: folder,
    shell: npm.command === 'npm.cmd',
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (status !== 0)
    throw buildError(`Could not install ${platformPackage}: ${error?.message ?? `npm ended with ${status}`}`)
}
