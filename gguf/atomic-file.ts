import { randomUUID } from 'node:crypto'
import { access, constants, mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { optionError, Phi2Error } from '../src/errors.js'

/**
 * Lets `write` make a file under a temporary name in the same folder, which gets its real name when all went well and
 * is removed otherwise. So the name `path` never stands for half a file, and an older file there stays until the end.
 *
 * @throws {Phi2Error} `PHI2_NO_SPACE` for a full disk, `PHI2_IO` for a missing folder and the like; whatever `write` throws
 * otherwise.
 */
export async function writeAtomically<T>(path: string, write: (temporaryPath: string) => Promise<T>): Promise<T> {
  return withTemporaryFile(path, async (temporaryPath) => {
    const result = await write(temporaryPath)
    await rename(temporaryPath, path)
    return result
  })
}

/**
 * Before long work, what would end it in a loss: a place where no file can be written, and an older file that must stay.
 * @param inputs what the work reads; nothing of it is replaced, under whatever name
 * @throws {Phi2Error} `PHI2_IO`; a RangeError with `PHI2_INVALID_OPTION` for one of `inputs`.
 */
export async function checkTarget(path: string, overwrite: boolean, inputs: readonly string[]): Promise<void> {
  await access(dirname(path), constants.W_OK).catch((error: unknown) => {
    throw fileError(path, error)
  })
  const target = await stat(path).catch(() => undefined)
  if (target?.isDirectory() || /[/\\]$/.test(path)) {
    throw new Phi2Error('PHI2_IO', `${path} is a folder. Expected the name of the file to write, such as phi-2.gguf.`)
  }
  if (target === undefined) return
  for (const input of inputs) {
    const found = await stat(input).catch(() => undefined)
    if (found?.dev === target.dev && found.ino === target.ino) {
      throw optionError('range', `Expected another file for to than ${path}, which is read for it`)
    }
  }
  if (!overwrite) await checkIsFree(path)
  if (!target.isFile()) throw new Phi2Error('PHI2_IO', `${path} is no regular file. Choose another name.`)
}

/**
 * Before long work, for what may not replace an older file or folder.
 * @throws {Phi2Error} `PHI2_IO` when there is something under `path`.
 */
async function checkIsFree(path: string): Promise<void> {
  if ((await stat(path).catch(() => undefined)) === undefined) return
  throw new Phi2Error(
    'PHI2_IO',
    `${path} exists already. Choose another name, or have it replaced: overwrite, or --force on the command line.`,
  )
}

/** Gives `use` a free name beside `path`; whatever lies under it afterwards is removed. */
export async function withTemporaryFile<T>(path: string, use: (temporaryPath: string) => Promise<T>): Promise<T> {
  const temporaryPath = temporaryName(path)
  try {
    return await use(temporaryPath)
  } catch (error) {
    throw fileError(path, error)
  } finally {
    await rm(temporaryPath, { force: true, recursive: true })
  }
}

function temporaryName(path: string): string {
  return `${path.replace(/[/\\]+$/, '')}.${randomUUID().slice(0, 8)}.partial`
}

/**
 * Lets `write` fill a folder that gets its real name when all went well and is removed otherwise.
 * @param replace whether a folder that is there already may go: only an empty one, or one with config.json and safetensors
 * @throws {Phi2Error} as {@link writeAtomically}; `PHI2_IO` when there is something under `path` that must not go.
 */
export async function writeFolderAtomically<T>(
  path: string,
  write: (temporaryFolder: string) => Promise<T>,
  { replace = false }: { replace?: boolean } = {},
): Promise<T> {
  return withTemporaryFile(path, async (temporaryFolder) => {
    await (replace ? checkIsModelFolder(path) : checkIsFree(path))
    await mkdir(temporaryFolder)
    const result = await write(temporaryFolder)
    if (replace) await replaceFolder(path, temporaryFolder)
    else await rename(temporaryFolder, path)
    return result
  })
}

/** Gives the folder `by` the name `path`. One with files in it cannot be renamed over: it steps aside, and back again if that fails. */
export async function replaceFolder(path: string, by: string): Promise<void> {
  const older = temporaryName(path)
  await rename(path, older).catch(ignoreMissing)
  try {
    await rename(by, path)
  } catch (error) {
    await rename(older, path).catch(ignoreMissing)
    throw error
  }
  await rm(older, { force: true, recursive: true })
}

async function checkIsModelFolder(path: string): Promise<void> {
  const names = (await readdir(path).catch(ignoreMissing)) ?? []
  const isModel = names.includes('config.json') && names.some((name) => name.endsWith('.safetensors'))
  if (isModel || names.length === 0) return
  throw new Phi2Error('PHI2_IO', `${path} is there already and no model’s folder. Choose another name.`)
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}

/** What the system says about writing `path`, as this package's error; every other error as it is. */
export function fileError(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || typeof (error as NodeJS.ErrnoException).syscall !== 'string') return error
  const { code, message } = error as NodeJS.ErrnoException
  const full = code === 'ENOSPC' || code === 'EDQUOT'
  return new Phi2Error(full ? 'PHI2_NO_SPACE' : 'PHI2_IO', `${path} cannot be written: ${message}`, { cause: error })
}
