/** Tokens per second, as several rounds measured it. */
export interface Speed {
  mean: number
  /** Standard deviation between rounds. */
  deviation: number
  median: number
  /** One of each round. */
  samples: number[]
}

/** Of at least one sample. */
export function summarize(samples: readonly number[]): Speed {
  const mean = sum(samples) / samples.length
  const squares = sum(samples.map((sample) => (sample - mean) ** 2))
  const deviation = samples.length < 2 ? 0 : Math.sqrt(squares / (samples.length - 1))
  return { mean, deviation, median: median(samples), samples: [...samples] }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  const [below, above] = [sorted[Math.ceil(middle) - 1]!, sorted[Math.floor(middle)]!]
  return (below + above) / 2
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
