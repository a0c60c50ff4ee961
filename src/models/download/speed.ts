// Milliseconds: what comes in less than that says nothing of a speed.
const shortest = 50

/** Bytes per second over the last seconds, so that the figure neither jumps nor remembers for long. */
export class Speed {
  readonly #window: number
  readonly #samples: { time: number; done: number }[] = []

  /** @param window milliseconds looked back at */
  constructor(window = 5000) {
    this.#window = window
  }

  /** Takes down how much was done at a time in milliseconds, and gives the speed; less than before begins anew. */
  record(time: number, done: number): number {
    const samples = this.#samples
    if ((samples.at(-1)?.done ?? 0) > done) samples.length = 0
    samples.push({ time, done })
    // One sample older than the window stays, as its beginning.
    while (samples.length > 2 && samples[1]!.time <= time - this.#window) samples.shift()
    const first = samples[0]!
    const elapsed = time - first.time
    return elapsed < shortest ? 0 : ((done - first.done) * 1000) / elapsed
  }
}
