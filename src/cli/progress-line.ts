import { oneLine } from '../printable.js'
import type { OutputStream } from './command.js'

const BAR_WIDTH = 24
/** A shorter bar shows nothing, and a shorter label does not say what it is about. */
const SHORTEST_BAR = 4
const SHORTEST_LABEL = 12
/** Before this an estimate of the time left is a guess. */
const ESTIMATE_AFTER_MS = 2000
/** Ten pictures a second are enough, also over a slow line. */
const REDRAW_MS = 100

/**
 * A line such as `loading ███░░ 61% · 23 MB/s · 40 s left` that is there only while something takes long: not before
 * `delayMs`, never in a pipe, and gone at the end.
 */
export class ProgressLine {
  #fraction = 0
  #detail = ''
  #shown = ''
  #startedAt: number | undefined
  #startFraction = 0
  #drawnAt = Number.NEGATIVE_INFINITY
  readonly #timer: NodeJS.Timeout | undefined
  readonly #stream: OutputStream
  readonly #label: string
  #visible = false

  constructor(stream: OutputStream, label: string, delayMs = 300) {
    this.#stream = stream
    this.#label = oneLine(label)
    if (!stream.isTTY) return
    this.#timer = setTimeout(() => {
      this.#visible = true
      this.#draw()
    }, delayMs)
    this.#timer.unref()
  }

  /** @param detail what stands between the share and the time left, such as a speed */
  update(fraction: number, detail = ''): void {
    const now = performance.now()
    if (this.#startedAt === undefined) {
      // What was there before, of a download that goes on, took no time.
      this.#startedAt = now
      this.#startFraction = fraction
    }
    this.#fraction = Math.min(1, Math.max(0, fraction))
    this.#detail = detail
    if (this.#visible && (now - this.#drawnAt >= REDRAW_MS || fraction >= 1)) this.#draw()
  }

  end(): void {
    clearTimeout(this.#timer)
    this.#visible = false
    if (this.#shown !== '') this.#stream.write('\r\x1b[K')
    this.#shown = ''
  }

  #draw(): void {
    const left = this.#timeLeft()
    const parts = [`${Math.floor(this.#fraction * 100)}%`, this.#detail, left === undefined ? '' : `${left} left`]
    const figures = parts.filter((part) => part !== '').join(' · ')
    // A line that wraps could not be taken back. The bar gives way first, then the label: the figures say the most.
    const width = (this.#stream.columns || 80) - 1
    const room = width - figures.length - 1
    const label = shorten(this.#label, Math.max(SHORTEST_LABEL, room))
    const barWidth = Math.min(BAR_WIDTH, room - label.length - 1)
    const full = Math.round(this.#fraction * barWidth)
    const bar = barWidth < SHORTEST_BAR ? '' : `${'█'.repeat(full)}${'░'.repeat(barWidth - full)} `
    const line = `${label} ${bar}${figures}`.slice(0, width)
    this.#drawnAt = performance.now()
    if (line === this.#shown) return
    this.#shown = line
    this.#stream.write(`\r\x1b[K${line}`)
  }

  #timeLeft(): string | undefined {
    const done = this.#fraction - this.#startFraction
    const elapsed = performance.now() - (this.#startedAt ?? Number.POSITIVE_INFINITY)
    if (elapsed < ESTIMATE_AFTER_MS || done <= 0 || this.#fraction >= 1) return undefined
    return formatDuration(((1 - this.#fraction) / done) * elapsed)
  }
}

/** The end of a text stays: of a long file name it tells most. */
function shorten(text: string, length: number): string {
  return text.length <= length ? text : `…${text.slice(text.length - length + 1)}`
}

/** `8 s`, `2 min 5 s`, `1 h 20 min` */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.max(1, Math.round(milliseconds / 1000))
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  return minutes < 60 ? `${minutes} min ${seconds % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
