import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'

const BLOCK = 512

/**
 * Unpacks a tar archive as it comes. `place` gives the path to write a regular file to, or undefined to leave it out;
 * links, devices and all else are left out in any case.
 * @throws Error for what is no tar archive, or ends too early.
 */
export async function unpackTar(
  chunks: AsyncIterable<Buffer>,
  place: (name: string) => string | undefined,
): Promise<void> {
  const reader = new BlockReader(chunks)
  let longName: string | undefined
  for (;;) {
    const header = await reader.read(BLOCK)
    if (header.every((byte) => byte === 0)) return reader.drain()
    checkHeader(header)
    const size = octal(header, 124, 12)
    const type = String.fromCharCode(header[156]!)
    if (type === 'x' || type === 'L') {
      const content = await reader.read(size)
      await reader.skip(padding(size))
      longName = type === 'L' ? text(content, 0, size) : (paxPath(content) ?? longName)
      continue
    }
    const name = longName ?? nameOf(header)
    longName = undefined
    const path = type === '0' || type === '\0' ? place(name) : undefined
    await (path === undefined ? reader.skip(size) : writeFile(reader, size, path))
    await reader.skip(padding(size))
  }
}

async function writeFile(reader: BlockReader, size: number, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const file = await open(path, 'w')
  try {
    await reader.copy(size, file)
  } finally {
    await file.close()
  }
}

function nameOf(header: Buffer): string {
  const isUstar = text(header, 257, 6) === 'ustar'
  const prefix = isUstar ? text(header, 345, 155) : ''
  const name = text(header, 0, 100)
  return prefix === '' ? name : `${prefix}/${name}`
}

/** `path` of the lines `LENGTH KEY=VALUE`. */
function paxPath(content: Buffer): string | undefined {
  return /^\d+ path=(.*)$/m.exec(content.toString('utf8'))?.[1]
}

/** The sum of a header's bytes, its own field taken for spaces. */
function checkHeader(header: Buffer): void {
  const sum = header.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0)
  if (sum !== octal(header, 148, 8)) throw damaged()
}

function octal(header: Buffer, at: number, bytes: number): number {
  const digits = text(header, at, bytes).trim()
  if (!/^[0-7]*$/.test(digits)) throw damaged()
  return Number.parseInt(digits || '0', 8)
}

function damaged(): Error {
  return new Error('it is no tar archive, or damaged')
}

function text(buffer: Buffer, at: number, bytes: number): string {
  const field = buffer.subarray(at, at + bytes)
  const end = field.indexOf(0)
  return field.toString('utf8', 0, end < 0 ? field.length : end)
}

function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK
}

/** Bytes of a stream in pieces of the size wanted. */
class BlockReader {
  readonly #chunks: AsyncIterator<Buffer>
  #rest: Buffer = Buffer.alloc(0)

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  async read(bytes: number): Promise<Buffer> {
    const parts: Buffer[] = []
    await this.#each(bytes, async (part) => void parts.push(part))
    return Buffer.concat(parts)
  }

  skip(bytes: number): Promise<void> {
    return this.#each(bytes, async () => {})
  }

  copy(bytes: number, file: FileHandle): Promise<void> {
    return this.#each(bytes, async (part) => void (await file.writeFile(part)))
  }

  /** To the end of the stream, so that a sum over it is one over all. */
  async drain(): Promise<void> {
    while (!(await this.#chunks.next()).done) {}
  }

  async #each(bytes: number, take: (part: Buffer) => Promise<void>): Promise<void> {
    for (let left = bytes; left > 0; ) {
      if (this.#rest.length === 0) {
        const { done, value } = await this.#chunks.next()
        if (done) throw new Error('it ends too early')
        this.#rest = value
      }
      const part = this.#rest.subarray(0, left)
      this.#rest = this.#rest.subarray(part.length)
      left -= part.length
      await take(part)
    }
  }
}
