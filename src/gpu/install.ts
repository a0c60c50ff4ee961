import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { withTemporaryFile } from '../../gguf/atomic-file.js'
import { checkFreeSpace } from '../../gguf/free-space.js'
import { optionError, Phi2Error } from '../errors.js'
import { cacheFolder, removeLeftovers } from '../models/cache.js'
import { acquireLock } from '../models/download/lock.js'
import { packTarball } from '../npm.js'
import { libraryName } from './backends.js'
import { type EnginePin, enginePin, type PluginPin, pluginsFor } from './pin.js'
import {
  BUILD_METADATA,
  type InstalledPlugin,
  listPlugins,
  pluginFolder,
  RECORD,
  readBuildMetadata,
  readPlugin,
  whyUnfit,
} from './store.js'
import { unpackTar } from './tar.js'

export interface AddOptions {
  /** A tarball that was fetched before, for machines without a network. Undefined: through npm. */
  from?: string | undefined
  /** Install it again though it is there. @default false */
  force?: boolean | undefined
  signal?: AbortSignal | undefined
  onProgress?: ((progress: AddProgress) => void) | undefined
}

export interface AddProgress {
  /** `wait`: another process is installing it. */
  step: 'download' | 'unpack' | 'wait'
  done: number
  total: number
}

export interface AddResult extends InstalledPlugin {
  /** It was there already. */
  cached: boolean
}

/** The plug-ins that can be had for this machine. */
export function availablePlugins(pin: EnginePin = enginePin()): readonly PluginPin[] {
  return pluginsFor(pin)
}

/**
 * Installs a GPU backend of the pinned engine into the cache: the library, what its package says of the build, and the
 * licence. It is there whole or not at all; the package's hash is one that this package knows.
 * @throws {Phi2Error} `PHI2_DOWNLOAD_FAILED`, `PHI2_CHECKSUM_MISMATCH`, `PHI2_NO_SPACE`, `PHI2_IO`; a RangeError with
 * `PHI2_INVALID_OPTION` for a name that there is not; the signal's reason when it aborts.
 */
export async function addPlugin(
  name: string,
  options: AddOptions = {},
  { cache = cacheFolder(), pin = enginePin() }: { cache?: string; pin?: EnginePin } = {},
): Promise<AddResult> {
  const plugin = find(name, pin)
  const { force = false, onProgress, signal } = options
  const folder = pluginFolder(plugin, pin, cache)
  const there = () => {
    const found = force ? undefined : readPlugin(folder)
    return found && whyUnfit(found, pin.tag) === undefined ? { ...found, cached: true } : undefined
  }
  const before = there()
  if (before) return before
  const lock = await acquireLock(`${folder}.lock`, {
    signal,
    onWait: () => onProgress?.({ step: 'wait', done: 0, total: plugin.bytes }),
  })
  try {
    // Somebody else may have installed it meanwhile.
    const meanwhile = there()
    if (meanwhile) return meanwhile
    await removeLeftovers(folder)
    await checkFreeSpace(cache, plugin.bytes + plugin.libraryBytes, `Installing ${plugin.package}`)
    return await withTemporaryFile(folder, async (temporary) => {
      await mkdir(temporary)
      const record = await fill(temporary, plugin, pin, options)
      // Files that a running process has loaded stay with it.
      await rm(folder, { recursive: true, force: true })
      await rename(temporary, folder)
      return { ...record, path: folder, cached: false }
    })
  } finally {
    await lock.release()
  }
}

function find(name: string, pin: EnginePin): PluginPin {
  const known = pluginsFor(pin)
  const plugin = known.find((one) => one.name === name)
  if (plugin) return plugin
  const names = known.map((one) => one.name)
  throw optionError(
    'range',
    names.length === 0
      ? `There are no GPU plug-ins for ${process.platform}-${process.arch}; build the backend from source (npm run build)`
      : `Expected ${names.join(' or ')} but received ${JSON.stringify(name)}`,
  )
}

async function fill(folder: string, plugin: PluginPin, pin: EnginePin, options: AddOptions): Promise<InstalledPlugin> {
  const { from } = options
  const download = join(folder, '.download')
  await mkdir(download)
  const tarball = from ?? (await fetch(`${plugin.package}@${pin.version}`, download, plugin.bytes, options))
  const digest = await unpack(tarball, folder, plugin, options)
  if (digest !== plugin.integrity) {
    throw new Phi2Error(
      'PHI2_CHECKSUM_MISMATCH',
      `${from ?? `${plugin.package}@${pin.version}`} is not the file it should be: expected ${plugin.integrity} but found ` +
        `${digest}. ${from === undefined ? 'The registry served another file.' : 'Give the tarball of that very version.'}`,
    )
  }
  await rm(download, { recursive: true, force: true })

  const library = libraryName(plugin.backend)
  const { bytes, tag } = await checkContent(folder, library, plugin, pin)
  const record = {
    name: plugin.name,
    backend: plugin.backend,
    package: plugin.package,
    version: pin.version,
    tag,
    library,
    bytes,
    date: new Date().toISOString(),
  }
  await writeFile(join(folder, RECORD), `${JSON.stringify(record, null, 2)}\n`)
  return { ...record, path: folder }
}

async function fetch(spec: string, folder: string, total: number, { onProgress, signal }: AddOptions): Promise<string> {
  const packed = await packTarball(spec, folder, {
    signal,
    onProgress: (done) => onProgress?.({ step: 'download', done: Math.min(done, total), total }),
  })
  if ('path' in packed) return packed.path
  throw new Phi2Error(
    'PHI2_DOWNLOAD_FAILED',
    `Could not fetch ${spec}: ${packed.reason}. Check the network and npm’s registry setting (\`npm ping\`), or give the ` +
      'tarball that `npm pack` makes elsewhere.',
  )
}

/** Unpacks what is wanted, and gives the hash of the whole tarball as npm writes it. */
async function unpack(
  tarball: string,
  folder: string,
  plugin: PluginPin,
  { from, onProgress, signal }: AddOptions,
): Promise<string> {
  const total = (await stat(tarball).catch(() => undefined))?.size
  if (total === undefined)
    throw new Phi2Error('PHI2_IO', `${tarball} cannot be read. Expected the tarball of ${plugin.package}.`)
  const wanted = new Map<string, string>([
    ...[libraryName(plugin.backend), BUILD_METADATA].map((name) => [`${plugin.folder}/${name}`, name] as const),
    ['package/LICENSE', 'LICENSE'] as const,
  ])
  const hash = createHash('sha512')
  let done = 0
  async function* read(): AsyncIterable<Buffer> {
    for await (const chunk of createReadStream(tarball, { highWaterMark: 1 << 20 })) {
      hash.update(chunk)
      done += chunk.length
      onProgress?.({ step: 'unpack', done, total: total! })
      yield chunk
    }
  }
  const gunzip = createGunzip()
  const place = (name: string) => {
    const file = wanted.get(name)
    return file === undefined ? undefined : join(folder, file)
  }
  // Both to their ends: what fails first must not leave the other writing into a folder that is being removed.
  const ends = await Promise.allSettled([unpackTar(gunzip, place), pipeline(read, gunzip, { signal })])
  signal?.throwIfAborted()
  const failure = ends.find((end) => end.status === 'rejected')?.reason as NodeJS.ErrnoException | undefined
  if (failure?.syscall !== undefined) throw failure
  if (failure) {
    throw new Phi2Error(
      'PHI2_CHECKSUM_MISMATCH',
      `${from ?? basename(tarball)} cannot be unpacked: ${failure.message}. Expected the tarball of ${plugin.package}.`,
      { cause: failure },
    )
  }
  return `sha512-${hash.digest('base64')}`
}

/** The package's hash says which file it is; this, that it is what the pin takes it for. */
async function checkContent(
  folder: string,
  library: string,
  plugin: PluginPin,
  pin: EnginePin,
): Promise<{ bytes: number; tag: string }> {
  const { gpu, tag } = readBuildMetadata(folder) ?? { gpu: plugin.backend, tag: pin.tag }
  const file = await stat(join(folder, library)).catch(() => undefined)
  if (file && gpu === plugin.backend && tag === pin.tag) return { bytes: file.size, tag }
  const found = file ? `one for ${gpu}, built from llama.cpp ${tag}` : 'no such file'
  throw new Phi2Error(
    'PHI2_CHECKSUM_MISMATCH',
    `Expected ${library} for ${plugin.backend}, built from llama.cpp ${pin.tag}, in ${plugin.package} but found ${found}.`,
  )
}

/**
 * Removes installed plug-ins, of every version, and tells which they were. A process that has loaded one keeps it.
 * @throws {Phi2Error} `PHI2_INVALID_OPTION` (a RangeError) for a name that is not installed.
 */
export async function removePlugins(
  names: readonly string[] | 'all',
  cache: string = cacheFolder(),
): Promise<InstalledPlugin[]> {
  const plugins = listPlugins(cache)
  for (const name of names === 'all' ? [] : names) {
    if (plugins.some((plugin) => plugin.name === name)) continue
    const found = plugins.map((plugin) => plugin.name).join(', ')
    throw optionError('range', `${name} is not installed${found === '' ? '' : `; installed: ${found}`}`)
  }
  const wanted = names === 'all' ? plugins : plugins.filter(({ name }) => names.includes(name))
  for (const { path } of wanted) {
    const lock = await acquireLock(`${path}.lock`)
    try {
      // The record first: without it there is no plug-in, however far the rest comes.
      await rm(join(path, RECORD), { force: true })
      await rm(path, { recursive: true, force: true })
    } finally {
      await lock.release()
    }
  }
  return wanted
}
