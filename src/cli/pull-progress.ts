import type { PullProgress } from '../models/pull.js'
import type { OutputStream } from './command.js'
import { ProgressLine } from './progress-line.js'

const LABELS: Readonly<Record<PullProgress['step'], string>> = {
  download: 'downloading',
  retry: 'waiting for the server',
  wait: 'waiting for another process with',
  verify: 'verifying',
  convert: 'converting to',
  quantize: 'quantizing to',
}

/** The line of a pull: `downloading phi-2-q4_k_m.gguf ███░░ 61% · 1.1 of 1.8 GB · 23 MB/s · 30 s left`. */
export class PullProgressLine {
  readonly #stream: OutputStream
  #line: ProgressLine | undefined
  #label = ''

  constructor(stream: OutputStream) {
    this.#stream = stream
  }

  readonly update = ({ bytesPerSecond, done, file, step, total }: PullProgress): void => {
    const label = step === 'retry' ? LABELS.retry : `${LABELS[step]} ${file}`
    if (label !== this.#label) {
      // A checkpoint's small files come and go faster than a line can be read.
      this.#line?.end()
      this.#line = new ProgressLine(this.#stream, label)
      this.#label = label
    }
    const speed = bytesPerSecond > 0 && step !== 'verify' ? ` · ${formatRate(bytesPerSecond)}` : ''
    const amount = step === 'wait' && done === 0 ? '' : formatAmount(done, total)
    this.#line?.update(total ? done / total : 0, `${amount}${speed}`)
  }

  end(): void {
    this.#line?.end()
    this.#line = undefined
    this.#label = ''
  }
}

/** `1.2 of 1.8 GB`, both in the unit of the whole. */
export function formatAmount(done: number, total: number | undefined): string {
  const [unit, name, digits] = unitOf(total ?? done)
  const amount = (done / unit).toFixed(digits)
  return total === undefined ? `${amount} ${name}` : `${amount} of ${(total / unit).toFixed(digits)} ${name}`
}

function formatRate(bytesPerSecond: number): string {
  const [unit, name] = unitOf(bytesPerSecond)
  const rate = bytesPerSecond / unit
  return `${rate.toFixed(rate < 10 && unit >= 1e6 ? 1 : 0)} ${name}/s`
}

function unitOf(bytes: number): readonly [unit: number, name: string, digits: number] {
  if (bytes >= 1e9) return [1e9, 'GB', 1]
  return bytes >= 1e6 ? [1e6, 'MB', bytes >= 1e7 ? 0 : 1] : [1e3, 'kB', 0]
}
