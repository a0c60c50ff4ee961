import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** llama.cpp's own benchmarks, built by engine-tools.ts. Each call is a process of its own, which loads the model first. */
export class LlamaTools {
  readonly #folder: string
  readonly #threads: number
  readonly #layers: readonly string[]

  /** @param gpu all layers on the GPU */
  constructor(folder: string, threads: number, gpu = false) {
    this.#folder = folder
    this.#threads = threads
    this.#layers = gpu ? ['-ngl', '99'] : []
  }

  /** Tokens per second of reading a prompt of so many tokens, once, after it was read once to warm up. */
  async prefill(model: string, tokens: number): Promise<number> {
    return this.#bench(model, ['-p', `${tokens}`, '-n', '0'])
  }

  /** Tokens per second of one stream that goes on from so many positions. */
  async decode(model: string, { depth, tokens }: { depth: number; tokens: number }): Promise<number> {
    return this.#bench(model, ['-p', '0', '-n', `${tokens}`, '-d', `${depth}`])
  }

  /** Tokens per second in all while so many streams decode together. */
  async streams(model: string, run: { streams: number; depth: number; tokens: number }): Promise<number> {
    const cells = run.streams * (run.depth + run.tokens)
    const sizes = ['-npl', `${run.streams}`, '-npp', `${run.depth}`, '-ntg', `${run.tokens}`, '-c', `${cells}`]
    const threads = ['-t', `${this.#threads}`]
    const found = await this.#run('llama-batched-bench', [
      '-m',
      model,
      ...sizes,
      ...threads,
      ...this.#layers,
      '--output-format',
      'jsonl',
    ])
    return number(found, 'speed_tg')
  }

  async #bench(model: string, sizes: readonly string[]): Promise<number> {
    const found = await this.#run('llama-bench', [
      ...['-m', model, '-t', `${this.#threads}`, '-r', '1', '-o', 'jsonl', ...sizes, ...this.#layers],
    ])
    return number(found, 'avg_ts')
  }

  async #run(tool: string, args: readonly string[]): Promise<Record<string, unknown>> {
    const { stdout } = await promisify(execFile)(join(this.#folder, tool), args, { maxBuffer: 1 << 24 })
    const line = stdout.split('\n').find((text) => text.startsWith('{'))
    if (line === undefined) throw new Error(`${tool} ${args.join(' ')} printed no result:\n${stdout}`)
    return JSON.parse(line) as Record<string, unknown>
  }
}

function number(found: Record<string, unknown>, name: string): number {
  const value = found[name]
  if (typeof value !== 'number') throw new Error(`Expected ${name} in ${JSON.stringify(found)}`)
  return value
}
