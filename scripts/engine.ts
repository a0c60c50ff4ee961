import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { packageRoot } from '../src/package-root.js'

/** The pinned engine: `native/llama.cpp.json`. */
interface Pin {
  package: string
  version: string
  integrity: string
  bundle: string
  tag: string
  commit: string
}

export class BuildError extends Error {}

/**
 * The folder of the llama.cpp sources: `LLAMA_CPP_DIR` if set, else a clone of the pinned bundle under `build/`, fetched
 * once through the user's own npm settings and checked against the pinned integrity.
 */
export function engineSources(): string {
  const given = process.env.LLAMA_CPP_DIR
  if (given) {
    if (!existsSync(join(given, 'include', 'llama.h'))) {
      throw new BuildError(
        `LLAMA_CPP_DIR is ${given}, but there is no include/llama.h in it. Give a llama.cpp checkout, or unset it.`,
      )
    }
    return given
  }
  const root = packageRoot()
  const pin = JSON.parse(readFileSync(join(root, 'native', 'llama.cpp.json'), 'utf8')) as Pin
  const sources = join(root, 'build', 'llama.cpp')
  const stamp = join(sources, '.phi2-pin')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === pin.integrity) return sources

  const work = join(root, 'build', 'fetch')
  rmSync(work, { recursive: true, force: true })
  rmSync(sources, { recursive: true, force: true })
  mkdirSync(work, { recursive: true })
  process.stderr.write(`phi2: fetching llama.cpp ${pin.tag} (35 MB, once) …\n`)
  const tarball = fetchTarball(pin, work)
  run('tar', ['-xzf', tarball, '-C', work, pin.bundle], 'unpack the engine')
  run(
    'git',
    ['clone', '--quiet', '-c', 'advice.detachedHead=false', join(work, pin.bundle), join(work, 'llama.cpp')],
    'clone the engine',
  )
  const head = run('git', ['-C', join(work, 'llama.cpp'), 'rev-parse', 'HEAD'], 'read the engine’s commit').trim()
  if (!head.startsWith(pin.commit)) {
    throw new BuildError(`Expected llama.cpp at commit ${pin.commit} but the bundle holds ${head}.`)
  }
  // The stamp comes last, so that an interrupted fetch is begun again.
  renameSync(join(work, 'llama.cpp'), sources)
  writeFileSync(stamp, pin.integrity)
  rmSync(work, { recursive: true, force: true })
  return sources
}

function fetchTarball(pin: Pin, folder: string): string {
  const spec = `${pin.package}@${pin.version}`
  const npm = npmCommand()
  const { status, stdout, stderr, error } = spawnSync(
    npm.command,
    [...npm.args, 'pack', spec, '--json', '--ignore-scripts', '--pack-destination', folder],
    {
      encoding: 'utf8',
      shell: npm.command === 'npm.cmd', // a batch file
      // A parent `npm ci --ignore-scripts`, `npm pack --dry-run` or `npm run --silent` must not change what this inner call does.
      env: { ...process.env, npm_config_dry_run: 'false', npm_config_json: 'true', npm_config_loglevel: 'error' },
    },
  )
  if (status !== 0) {
    throw new BuildError(
      `Could not fetch ${spec}, which carries the engine's sources: ${firstError(error?.message ?? `${stderr}\n${stdout}`)}\n` +
        'Check the network and npm’s registry setting (`npm ping`), or set LLAMA_CPP_DIR to a llama.cpp checkout.',
    )
  }
  const file = join(folder, tarballName(stdout))
  const digest = `sha512-${createHash('sha512').update(readFileSync(file)).digest('base64')}`
  if (digest !== pin.integrity) {
    throw new BuildError(
      `The integrity of ${spec} is wrong: expected ${pin.integrity} but found ${digest}. The registry served another file.`,
    )
  }
  return file
}

// npm 11 prints an array, npm 12 an object keyed by package name.
function tarballName(json: string): string {
  const packed = JSON.parse(json.slice(json.search(/[[{]/))) as Record<string, { filename: string }>
  const first = Object.values(packed)[0]
  if (!first) throw new BuildError('npm pack named no file.')
  return first.filename
}

// The npm that runs this script, if one does: another on the PATH may have other settings.
export function npmCommand(): { command: string; args: string[] } {
  const cli = process.env.npm_execpath
  if (cli && basename(cli) === 'npm-cli.js') return { command: process.execPath, args: [cli] }
  return { command: process.platform === 'win32' ? 'npm.cmd' : 'npm', args: [] }
}

function run(command: string, args: string[], purpose: string): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new BuildError(`Could not ${purpose}: ${firstError(error?.message ?? stderr)}`)
  return stdout
}

function firstError(output: string): string {
  const lines = output.split('\n').map((line) => line.trim())
  return lines.find((line) => /error/i.test(line)) ?? lines.find((line) => line !== '') ?? 'no reason given'
}
