import { existsSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileError, replaceFolder } from '../../gguf/atomic-file.js'
import { acquireLock } from '../models/download/lock.js'
import { packageRoot, packageVersion } from '../package-root.js'
import { type BuildProgress, type CompileOptions, compileAddon } from './compile.js'
import { builtFolder } from './place.js'
import { buildError, run } from './run.js'

export interface InstallOptions extends Omit<CompileOptions, 'folder' | 'debug' | 'onProgress'> {
  onProgress?: ((progress: InstallProgress) => void) | undefined
}

export type InstallProgress = BuildProgress | { step: 'wait' | 'check'; detail: string; fraction?: number }

export interface InstallResult {
  /** Of `phi2.node`. */
  path: string
  version: string
  /** Names of the engine's backends that start on this machine. */
  backends: string[]
  devices: string[]
  seconds: number
  /** What is loaded in its place, if something is. */
  hiddenBy?: string
}

/**
 * Compiles the addon from this package alone and puts it where the loader finds it, once it has computed right numbers
 * in a process of its own. Until then an older build there stays. What a stopped or failed build has done already is kept
 * beside it for the next one.
 *
 * @throws {Phi2Error} `PHI2_BUILD_FAILED`; the signal's reason.
 */
export async function buildIntoCache(options: InstallOptions): Promise<InstallResult> {
  const started = Date.now()
  const folder = builtFolder()
  const { onProgress, signal } = options
  const lock = await acquireLock(`${folder}.lock`, {
    signal,
    onWait: () => onProgress?.({ step: 'wait', detail: 'for another phi2 build' }),
  })
  try {
    const work = workFolder()
    const addon = await compileAddon({ ...options, folder: work })
    onProgress?.({ step: 'check', detail: '' })
    const found = await check(addon, signal)
    await lock.confirm()
    await replaceFolder(folder, dirname(addon)).catch((error: unknown) => {
      throw fileError(folder, error)
    })
    await rm(work, { recursive: true, force: true })
    const hiddenBy = whatHides()
    return {
      path: join(folder, 'phi2.node'),
      version: packageVersion(),
      ...found,
      seconds: Math.round((Date.now() - started) / 1000),
      ...(hiddenBy === undefined ? {} : { hiddenBy }),
    }
  } finally {
    await lock.release()
  }
}

/** Removes what {@link buildIntoCache} made for this version, and what a stopped build has left. Gives whether there was something. */
export async function removeBuild(signal?: AbortSignal): Promise<boolean> {
  const folder = builtFolder()
  const lock = await acquireLock(`${folder}.lock`, { signal })
  try {
    const found = [folder, workFolder()].filter((path) => existsSync(path))
    for (const path of found) {
      // Out of the way first: a loader never sees half of it.
      const away = `${path}.removed`
      await rm(away, { recursive: true, force: true })
      await rename(path, away)
      await rm(away, { recursive: true, force: true })
    }
    return found.length > 0
  } catch (error) {
    throw fileError(folder, error)
  } finally {
    await lock.release()
  }
}

function workFolder(): string {
  return `${builtFolder()}.work`
}

// On the CPU, where the numbers are known to the last digit that counts.
const CHECK = `
const { ok, maxDifference, tolerance } = await phi2.selfCheck()
await phi2.close()
const { devices } = systemReport()
process.stdout.write(JSON.stringify({ ok, maxDifference, tolerance, devices }))`

async function check(
  addon: string,
  signal: AbortSignal | undefined,
): Promise<Pick<InstallResult, 'backends' | 'devices'>> {
  const module = (name: string) => JSON.stringify(new URL(name, import.meta.url).href)
  const program = [
    `import { Phi2 } from ${module('../phi2.js')}`,
    `import { systemReport } from ${module('../system.js')}`,
    // Node would show the line that throws, and the stack.
    "process.once('uncaughtException', ({ message }) => { console.error(message); process.exitCode = 1 })",
    "const phi2 = await Phi2.load({ model: 'tiny', gpuLayers: 0 })",
    CHECK,
  ].join('\n')
  const { output, status, stdout } = await run(
    process.execPath,
    [...process.execArgv, '--input-type=module', '--eval', program],
    { env: { ...process.env, PHI2_BINDING: addon }, signal },
  )
  const failed = 'What was compiled does not work here and was not put in place'
  if (status !== 0) throw buildError(`${failed}: ${output.trim() || 'its process crashed'}`)
  const { ok, maxDifference, tolerance, devices } = JSON.parse(stdout)
  if (!ok) {
    throw buildError(`${failed}: a log-likelihood is off by ${maxDifference} nats per token, ${tolerance} are allowed.`)
  }
  const names = (key: string): string[] => [
    ...new Set<string>(devices.map((device: Record<string, string>) => device[key])),
  ]
  return { backends: names('backend'), devices: names('name') }
}

function whatHides(): string | undefined {
  if (process.env.PHI2_BINDING) return `PHI2_BINDING (${process.env.PHI2_BINDING})`
  const local = join(packageRoot(), 'build', 'Release', 'phi2.node')
  return existsSync(local) ? `this checkout’s own build (${local})` : undefined
}
