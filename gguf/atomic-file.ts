import { randomUUID } from 'node:crypto'
import { rename, rm } from 'node:fs/promises'
import { Phi2Error } from '../src/errors.js'

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

/** Gives `use` a free name beside `path`; whatever lies under it afterwards is removed. */
export async function withTemporaryFile<T>(path: string, use: (temporaryPath: string) => Promise<T>): Promise<T> {
  const temporaryPath = `${path}.${randomUUID().slice(0, 8)}.partial`
  try {
    return await use(temporaryPath)
  } catch (error) {
    throw isSystemError(error) ? ioError(path, error) : error
  } finally {
    await rm(temporaryPath, { force: true })
  }
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string'
}

function ioError(path: string, cause: NodeJS.ErrnoException): Phi2Error {
  const full = cause.code === 'ENOSPC' || cause.code === 'EDQUOT'
  return new Phi2Error(full ? 'PHI2_NO_SPACE' : 'PHI2_IO', `${path} cannot be written: ${cause.message}`, { cause })
}
