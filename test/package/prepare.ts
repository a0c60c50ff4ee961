// Packs phi2 and this platform's package into build/package-test, and installs the tools that the tests use.
//
// The platform's package gets the libraries of build/Release, which are this machine's alone: every CPU variant takes too
// long to compile for each run. With --prebuilt it gets those that `npm run prebuilt` has made.
import { spawnSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { packFolder, packMain, packPlatform } from '../../scripts/packages.js'
import { runScript } from '../../scripts/run-script.js'
import { findTarget, HOST, librariesIn, packageFolder } from '../../scripts/targets.js'
import { buildError } from '../../src/builder/run.js'
import { npmCommand } from '../../src/npm.js'
import { packageRoot } from '../../src/package-root.js'
import { type Tarballs, TOOLS, WORK } from './consumer.js'

await runScript(async () => {
  rmSync(WORK, { recursive: true, force: true })
  mkdirSync(WORK, { recursive: true })
  npm(['run', '--silent', 'compile'], packageRoot())
  const tarballs: Tarballs = { main: packMain(WORK).path, platform: packLibraries() }
  writeFileSync(join(WORK, 'tarballs.json'), JSON.stringify(tarballs))
  installTools()
})

function packLibraries(): string {
  const target = findTarget(HOST)
  if (process.argv.includes('--prebuilt')) return packPlatform(target, WORK).path
  const built = join(packageRoot(), 'build', 'Release')
  const folder = join(WORK, 'platform')
  mkdirSync(folder)
  for (const name of ['package.json', 'README.md']) copyFileSync(join(packageFolder(target), name), join(folder, name))
  for (const path of librariesIn(target, built)) copyFileSync(path, join(folder, basename(path)))
  return packFolder(folder, WORK).path
}

/** Again only when other versions are wanted. Without their install scripts: nothing of that is needed. */
function installTools(): void {
  const wanted = readFileSync(join(packageRoot(), 'test', 'package', 'package.json'), 'utf8')
  const stamp = join(TOOLS, 'installed.json')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  rmSync(TOOLS, { recursive: true, force: true })
  mkdirSync(TOOLS, { recursive: true })
  for (const name of ['package.json', 'package-lock.json'])
    cpSync(join(packageRoot(), 'test', 'package', name), join(TOOLS, name))
  npm(['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], TOOLS)
  writeFileSync(stamp, wanted)
}

function npm(args: readonly string[], cwd: string): void {
  const { command, args: first } = npmCommand()
  const { status } = spawnSync(command, [...first, ...args], {
    cwd,
    shell: command === 'npm.cmd',
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (status !== 0) throw buildError(`npm ${args.join(' ')} failed in ${cwd}.`)
}
