/** Bytes from `start` to before `end`. */
export interface Interval {
  start: number
  end: number
}

/** A set of bytes of a file, kept as few disjoint intervals in order. */
export class Intervals {
  #list: Interval[] = []
  #total = 0

  /** @throws when the text is no such list, so that a damaged state file is not believed. */
  static parse(value: unknown, size: number): Intervals {
    const intervals = new Intervals()
    if (!Array.isArray(value)) throw new TypeError('expected a list of intervals')
    for (const [start, end] of value as [number, number][]) {
      const sound = Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start < end && end <= size
      if (!sound) throw new RangeError('expected intervals within the file')
      intervals.add(start, end)
    }
    return intervals
  }

  /** How many bytes are in it. */
  get total(): number {
    return this.#total
  }

  /** How many bytes from the first one on are in it without a gap. */
  get prefix(): number {
    const first = this.#list[0]
    return first?.start === 0 ? first.end : 0
  }

  add(start: number, end: number): void {
    if (start >= end) return
    const from = this.#list.findIndex((interval) => interval.end >= start)
    const at = from === -1 ? this.#list.length : from
    let [low, high, count] = [start, end, 0]
    for (let next = this.#list[at]; next && next.start <= end; next = this.#list[at + count]) {
      low = Math.min(low, next.start)
      high = Math.max(high, next.end)
      this.#total -= next.end - next.start
      count++
    }
    this.#list.splice(at, count, { start: low, end: high })
    this.#total += high - low
  }

  /** What is missing of the bytes from `start` to before `end`, in order. */
  missing(start: number, end: number): Interval[] {
    const gaps: Interval[] = []
    let position = start
    for (const there of [...this.#list, { start: end, end }]) {
      if (there.start > position) gaps.push({ start: position, end: Math.min(there.start, end) })
      position = Math.max(position, there.end)
      if (position >= end) break
    }
    return gaps
  }

  /** What is missing of a file of `size` bytes, in order, in pieces of `pieceSize` at most. */
  gaps(size: number, pieceSize: number): Interval[] {
    return this.missing(0, size).flatMap(({ start, end }) => {
      const pieces: Interval[] = []
      for (let at = start; at < end; at += pieceSize) pieces.push({ start: at, end: Math.min(end, at + pieceSize) })
      return pieces
    })
  }

  toJSON(): [number, number][] {
    return this.#list.map(({ start, end }) => [start, end])
  }
}
