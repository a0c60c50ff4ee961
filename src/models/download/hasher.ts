import { Worker } from 'node:worker_threads'

// As text, because a worker cannot be started from TypeScript, and a bundler would not carry a second file along.
const program = `
  const { createHash } = require('node:crypto')
  const { closeSync, openSync, readSync } = require('node:fs')
  const { parentPort, workerData } = require('node:worker_threads')
  const file = openSync(workerData, 'r')
  const hash = createHash('sha256')
  const buffer = Buffer.allocUnsafe(1 << 20)
  let position = 0
  parentPort.on('message', ({ upTo, last }) => {
    while (position < upTo) {
      const count = readSync(file, buffer, 0, Math.min(buffer.length, upTo - position), position)
      if (count === 0) throw new Error('the file ended after ' + position + ' of ' + upTo + ' bytes')
      hash.update(count === buffer.length ? buffer : buffer.subarray(0, count))
      position += count
      parentPort.postMessage({ position })
    }
    if (!last) return
    closeSync(file)
    parentPort.postMessage({ digest: hash.digest('hex') })
    parentPort.close()
  })`

/**
 * The sha256 of a file that is still being written, computed on a thread of its own from what is on disk, behind the
 * writer: so it holds for what was stored, and at the end only the tail is left.
 */
export class FileHasher {
  readonly #worker: Worker
  readonly #digest: Promise<string>
  #position = 0

  constructor(path: string) {
    this.#worker = new Worker(program, { eval: true, workerData: path, execArgv: [] })
    this.#digest = new Promise((resolve, reject) => {
      this.#worker.on('message', ({ position, digest }: { position?: number; digest?: string }) => {
        if (position !== undefined) this.#position = position
        if (digest !== undefined) resolve(digest)
      })
      this.#worker.once('error', reject)
      this.#worker.once('exit', () => reject(new Error('the hashing thread was stopped')))
    })
    // Whether anybody waits for it or not.
    this.#digest.catch(() => {})
  }

  /** Bytes hashed so far. */
  get position(): number {
    return this.#position
  }

  /** The first `upTo` bytes of the file are there and will not change. */
  advance(upTo: number): void {
    this.#worker.postMessage({ upTo, last: false })
  }

  /** The sha256 of the first `size` bytes, in lower-case hex. Nothing can be added afterwards. */
  digest(size: number): Promise<string> {
    this.#worker.postMessage({ upTo: size, last: true })
    return this.#digest
  }

  async close(): Promise<void> {
    await this.#worker.terminate()
  }
}
