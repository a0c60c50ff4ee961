import type { InstallProgress } from '../builder/install.js'
import type { OutputStream } from './command.js'
import { ProgressLine } from './progress-line.js'

const LABELS: Record<InstallProgress['step'], string> = {
  wait: 'waiting',
  fetch: 'fetching',
  configure: 'configuring',
  compile: 'compiling',
  check: 'checking',
}

/** How far a native build is: a line that goes again at a terminal; elsewhere the name of each step, since it takes minutes. */
export class BuildProgressLine {
  readonly #stream: OutputStream
  readonly #plain: boolean
  #line: ProgressLine | undefined
  #shown = ''

  /** @param plain names of steps at a terminal too, where other output stands between them */
  constructor(stream: OutputStream, plain = false) {
    this.#stream = stream
    this.#plain = plain || !stream.isTTY
  }

  readonly update = ({ detail, fraction, step }: InstallProgress): void => {
    // Of compiling the detail is a figure that changes.
    const label = step === 'compile' || detail === '' ? LABELS[step] : `${LABELS[step]} ${detail}`
    if (label !== this.#shown) {
      this.#line?.end()
      this.#shown = label
      // How far the other steps are is not known.
      if (this.#plain || step !== 'compile') this.#stream.write(`phi2: ${label} …\n`)
      else this.#line = new ProgressLine(this.#stream, label, 0)
    }
    if (fraction !== undefined) this.#line?.update(fraction, detail)
  }

  end(): void {
    this.#line?.end()
    this.#line = undefined
  }
}
