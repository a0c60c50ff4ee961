import { existsSync, readFileSync } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { enginePin } from '../gpu/pin.js'
import { packageRoot } from '../package-root.js'
import { fetchTarball, type PackagePin } from './fetch.js'
import { buildError, runOrFail } from './run.js'

export interface SourceOptions {
  signal?: AbortSignal | undefined
  /** Before something is fetched: what, in a few words. */
  onFetch?: ((what: string) => void) | undefined
}

/**
 * The folder of the llama.cpp sources: `LLAMA_CPP_DIR` if set, else a clone of the pinned bundle in `folder`, fetched
 * once.
 * @throws {Phi2Error} `PHI2_BUILD_FAILED`
 */
export async function engineSources(folder: string, options: SourceOptions = {}): Promise<string> {
  const given = process.env.LLAMA_CPP_DIR
  if (given) {
    if (!existsSync(join(given, 'include', 'llama.h'))) {
      throw buildError(
        `LLAMA_CPP_DIR is ${given}, but there is no include/llama.h in it. Give a llama.cpp checkout, or unset it.`,
      )
    }
    return given
  }
  const pin = enginePin()
  return provide(folder, 'llama.cpp', pin, async (work, target) => {
    options.onFetch?.(`llama.cpp ${pin.tag} (35 MB)`)
    const tarball = await fetchTarball(pin, work, {
      which: "carries the engine's sources",
      remedy: ', or set LLAMA_CPP_DIR to a llama.cpp checkout',
      signal: options.signal,
    })
    const git = ['clone', '--quiet', '-c', 'advice.detachedHead=false', join(work, pin.bundle), target]
    await runOrFail('tar', ['-xzf', tarball, '-C', work, pin.bundle], 'unpack the engine', options)
    await runOrFail('git', git, 'clone the engine', options)
    const head = await runOrFail('git', ['-C', target, 'rev-parse', 'HEAD'], 'read the engine’s commit', options)
    if (!head.startsWith(pin.commit)) {
      throw buildError(`Expected llama.cpp at commit ${pin.commit} but the bundle holds ${head.trim()}.`)
    }
  })
}

/**
 * The folders of the npm packages that the addon is compiled with, as CMake is told of them, fetched once into `folder`.
 * @throws {Phi2Error} `PHI2_BUILD_FAILED`
 */
export async function nodeApiSources(folder: string, options: SourceOptions = {}): Promise<string[]> {
  const pins = readPin<PackagePin[]>('node-api.json')
  const definitions: string[] = []
  for (const pin of pins) {
    const path = await provide(folder, pin.package, pin, async (work, target) => {
      options.onFetch?.(`${pin.package} ${pin.version}`)
      const tarball = await fetchTarball(pin, work, {
        which: 'has headers that the addon needs',
        signal: options.signal,
      })
      await mkdir(target)
      await runOrFail('tar', ['-xzf', tarball, '-C', target, '--strip-components=1'], `unpack ${pin.package}`, options)
    })
    definitions.push(`PHI2_${pin.package.replaceAll('-', '_').toUpperCase()}=${path}`)
  }
  return definitions
}

/** The folder `name` in `folder`, as `make` filled it for this pin. */
async function provide(
  folder: string,
  name: string,
  pin: PackagePin,
  make: (work: string, target: string) => Promise<void>,
): Promise<string> {
  const path = join(folder, name)
  const stamp = join(path, '.phi2-pin')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === pin.integrity) return path
  const work = join(folder, 'fetch')
  await rm(work, { recursive: true, force: true })
  await rm(path, { recursive: true, force: true })
  await mkdir(work, { recursive: true })
  await make(work, join(work, name))
  // The stamp comes last, so that an interrupted fetch is begun again.
  await rename(join(work, name), path)
  await writeFile(stamp, pin.integrity)
  await rm(work, { recursive: true, force: true })
  return path
}

function readPin<T>(file: string): T {
  return JSON.parse(readFileSync(join(packageRoot(), 'native', file), 'utf8')) as T
}
