/** What is weighed against each other: speed, and what is lost for it. */
export interface Tradeoff {
  /** More is better. */
  speed: number
  /** Less is better. */
  loss: number
}

/** Which of them are worth a choice: those that no other surpasses in one respect without falling behind in the other. */
export function paretoFront(items: readonly Tradeoff[]): boolean[] {
  return items.map((item) => !items.some((other) => surpasses(other, item)))
}

function surpasses(a: Tradeoff, b: Tradeoff): boolean {
  return a.speed >= b.speed && a.loss <= b.loss && (a.speed > b.speed || a.loss < b.loss)
}

/** The fastest of those whose loss is small enough, by its index. */
export function fastestWithin(items: readonly Tradeoff[], maxLoss: number): number | undefined {
  const fit = items.map((item, index) => ({ ...item, index })).filter(({ loss }) => loss <= maxLoss)
  return fit.sort((a, b) => b.speed - a.speed)[0]?.index
}
