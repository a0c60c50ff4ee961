/** A mean and its standard error: what it would vary by with another text of the same kind. */
export interface Estimate {
  value: number
  error: number
}

const SHARES = ['0.1%', '1%', '5%', '10%', '25%', '50%', '75%', '90%', '95%', '99%', '99.9%'] as const

/** How values are spread: `percentiles['95%']` is the value that 95 % of them do not exceed. */
export interface Spread {
  min: number
  max: number
  percentiles: Record<(typeof SHARES)[number], number>
}

export function estimateMean(values: ArrayLike<number>): Estimate {
  return { value: mean(values), error: Math.sqrt(meanCovariance(values, values)) }
}

export function mean(values: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]!
  return sum / values.length
}

/** How the means of two series of one length vary together; of one with itself, the square of its standard error. */
export function meanCovariance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const meanA = mean(a)
  const meanB = mean(b)
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i]! - meanA) * (b[i]! - meanB)
  return a.length < 2 ? 0 : sum / a.length / (a.length - 1)
}

/** Between two values that lie around the share asked for, linear. */
export function spread(values: Float64Array): Spread {
  const sorted = values.slice().sort()
  const at = (share: number): number => {
    const position = share * (sorted.length - 1)
    const below = sorted[Math.floor(position)]!
    return below + (position % 1) * (sorted[Math.ceil(position)]! - below)
  }
  const percentiles = Object.fromEntries(SHARES.map((share) => [share, at(Number.parseFloat(share) / 100)]))
  return { min: at(0), max: at(1), percentiles: percentiles as Spread['percentiles'] }
}
