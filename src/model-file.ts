import { stat } from 'node:fs/promises'
import { Phi2Error } from './errors.js'

// As text, because a worker cannot be started from TypeScript, and a bundler would not carry a second file along.
const program = `
  const { createHash } = require('node:crypto')
  const { closeSync, fstatSync, openSync, readSync } = require('node:fs')
  const { parentPort, workerData } = require('node:worker_threads')
  const { crc32 } = require('node:zlib')
  const file = openSync(workerData, 'r')
  const { dev, ino, size, mtimeNs } = fstatSync(file, { bigint: true })
  const hash = createHash('sha256').update(String(size))
  const buffer = Buffer.allocUnsafe(1 << 20)
  // A network drive may give less than was asked for.
  const fill = () => {
    let filled = 0
    for (let count = 1; count > 0 && filled < buffer.length; filled += count) {
      count = readSync(file, buffer, filled, buffer.length - filled, null)
    }
    return buffer.subarray(0, filled)
  }
  for (let bytes; (bytes = fill()).length > 0; ) hash.update(crc32(bytes) + ' ')
  closeSync(file)
  parentPort.postMessage({ identity: [dev, ino, size, mtimeNs].join(), hash: hash.digest('hex') })`

/** The file of a loaded model, of which somebody may ask later whether it is the same as another. */
export class ModelFile {
  readonly #path: string
  readonly #identity: string
  #hash: Promise<string> | undefined

  private constructor(path: string, identity: string) {
    this.#path = path
    this.#identity = identity
  }

  /** To be called before the model is loaded. */
  static async at(path: string): Promise<ModelFile> {
    // Whether it can be loaded is for others to say.
    const found = await stat(path, { bigint: true }).catch(() => undefined)
    return new ModelFile(path, found ? [found.dev, found.ino, found.size, found.mtimeNs].join() : '')
  }

  /**
   * A hash of all that is in the file, computed once, unless that fails, on a thread of its own. It tells files apart that differ by any
   * change anybody would make; it is no proof against forgery, which would be needless here: who can forge a state can put
   * any numbers into it. A sha256 would take three times as long, seconds for a model of full size.
   * @throws {Phi2Error} `PHI2_IO`, also when the file is no longer the one that was loaded.
   */
  hash(): Promise<string> {
    this.#hash ??= this.#compute().catch((error: unknown) => {
      this.#hash = undefined // a drive may come back
      throw error
    })
    return this.#hash
  }

  async #compute(): Promise<string> {
    const { Worker } = await import('node:worker_threads')
    const worker = new Worker(program, { eval: true, workerData: this.#path, execArgv: [] })
    const { identity, hash } = await new Promise<{ identity: string; hash: string }>((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
      worker.once('exit', (code) => reject(new Error(`the thread that reads it ended with code ${code}`)))
    }).catch((cause: Error) => {
      throw new Phi2Error('PHI2_IO', `${this.#path} cannot be read: ${cause.message}`, { cause })
    })
    if (identity === this.#identity) return hash
    throw new Phi2Error('PHI2_IO', `${this.#path} was replaced since the model was loaded. Load it again.`)
  }
}
