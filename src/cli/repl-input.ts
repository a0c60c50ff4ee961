import { type Completer, createInterface, type Interface } from 'node:readline'
import { PassThrough } from 'node:stream'
import type { InputStream, OutputStream } from './command.js'

export type ReplEvent =
  | { type: 'line'; text: string }
  /** Ctrl-C at the prompt; `cleared`: it emptied a line that was being typed. */
  | { type: 'interrupt'; cleared: boolean }
  /** Ctrl-D, the end of a pipe, or `close()`. */
  | { type: 'end' }

const CTRL_C = 0x03

/**
 * Stands between the keyboard and readline. While held, what is typed waits (so it does not get mixed into an answer
 * that is being printed) and is given to the next prompt; Ctrl-C does not wait, it calls `onInterrupt` and, as a
 * terminal does, throws away what was typed before it.
 */
class KeyboardGate extends PassThrough {
  readonly isTTY = true
  #held: Buffer[] | undefined
  readonly #source: InputStream
  readonly #onInterrupt: () => void

  constructor(source: InputStream, onInterrupt: () => void) {
    super()
    this.#source = source
    this.#onInterrupt = onInterrupt
    source.on('data', this.#onData)
    source.on('end', this.#onEnd)
    // Whoever asked a question before has paused it, and then listening alone does not set it going.
    source.resume()
  }

  /** readline looks for this on its input. */
  setRawMode(mode: boolean): this {
    this.#source.setRawMode?.(mode)
    return this
  }

  hold(): void {
    this.#held ??= []
  }

  release(): void {
    const held = this.#held
    this.#held = undefined
    for (const bytes of held ?? []) this.write(bytes)
  }

  detach(): void {
    this.#source.off('data', this.#onData)
    this.#source.off('end', this.#onEnd)
    this.#source.pause()
  }

  #onData = (chunk: Buffer | string): void => {
    const bytes = Buffer.from(chunk as string)
    if (this.#held === undefined) {
      this.write(bytes)
      return
    }
    const last = bytes.lastIndexOf(CTRL_C)
    if (last === -1) {
      this.#held.push(bytes)
      return
    }
    this.#held = last + 1 < bytes.length ? [bytes.subarray(last + 1)] : []
    this.#onInterrupt()
  }

  #onEnd = (): void => {
    this.end()
  }
}

export interface LineReaderOptions {
  readonly input: InputStream
  /** Where the prompt and the edited line are shown; undefined when the input is a pipe. */
  readonly terminal: OutputStream | undefined
  readonly completer?: Completer
  /** Ctrl-C while no line is being waited for. */
  readonly onInterrupt: () => void
}

/** Lines, interrupts and the end of the input, one at a time, from a terminal or a pipe. */
export class LineReader {
  readonly #readline: Interface
  readonly #gate: KeyboardGate | undefined
  readonly #terminal: OutputStream | undefined
  readonly #events: ReplEvent[] = []
  #waiting: ((event: ReplEvent) => void) | undefined
  #closed = false

  constructor({ input, terminal, completer, onInterrupt }: LineReaderOptions) {
    this.#terminal = terminal
    if (terminal) {
      this.#gate = new KeyboardGate(input, onInterrupt)
      this.#readline = createInterface({
        input: this.#gate,
        output: terminal,
        terminal: true,
        removeHistoryDuplicates: true,
        ...(completer ? { completer } : {}),
      })
      this.#gate.hold()
    } else {
      this.#readline = createInterface({ input, terminal: false, crlfDelay: Number.POSITIVE_INFINITY })
    }
    this.#readline.on('line', (text) => this.#push({ type: 'line', text }))
    this.#readline.on('SIGINT', () => this.#onSigint())
    // Back from Ctrl-Z: readline has paused itself, and the shell's lines stand below the prompt.
    this.#readline.on('SIGCONT', () => this.#readline.prompt(true))
    this.#readline.on('close', () => {
      this.#closed = true
      this.#push({ type: 'end' })
    })
  }

  /** Shows the prompt and waits for the next event. Only then is the keyboard read. */
  async next(prompt: string): Promise<ReplEvent> {
    const early = this.#events.shift()
    if (early) {
      // A line of a paste that was read together with the one before it: show where it went.
      if (early.type === 'line') this.#terminal?.write(`${prompt}${early.text}\n`)
      return early
    }
    if (this.#closed) return { type: 'end' }
    const event = new Promise<ReplEvent>((resolve) => {
      this.#waiting = resolve
    })
    if (this.#gate) {
      this.#readline.setPrompt(prompt)
      this.#readline.prompt(true)
      this.#gate.release()
    } else {
      this.#readline.resume()
    }
    return event
  }

  close(): void {
    this.#readline.close()
    this.#gate?.detach()
  }

  #onSigint(): void {
    const cleared = this.#readline.line !== ''
    if (cleared) {
      this.#readline.write(null, { ctrl: true, name: 'e' })
      this.#readline.write(null, { ctrl: true, name: 'u' })
    }
    this.#push({ type: 'interrupt', cleared })
  }

  #push(event: ReplEvent): void {
    if (this.#gate) this.#gate.hold()
    else if (event.type === 'line') this.#readline.pause()
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting) waiting(event)
    else this.#events.push(event)
  }
}
