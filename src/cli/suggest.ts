/**
 * Typing mistakes between two words: insertions, deletions, substitutions and swaps of neighbours (the optimal string
 * alignment distance).
 */
export function editDistance(a: string, b: string): number {
  let twoAbove: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      let best = Math.min(above[j]! + 1, row[j - 1]! + 1, substitution)
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (swapped) best = Math.min(best, twoAbove[j - 2]! + 1)
      row.push(best)
    }
    twoAbove = above
    above = row
  }
  return above[b.length]!
}

/** The option that was probably meant: an unfinished name (`--temp`), else the nearest within two mistakes. */
export function nearestOption(found: string, known: readonly string[]): string | undefined {
  if (found.length >= 3) {
    const started = known.filter((name) => name.startsWith(found))
    if (started.length > 0) return started.reduce((a, b) => (b.length < a.length ? b : a))
  }
  return nearest(found, known, (name) => (name.length <= 4 ? 1 : 2))
}

/**
 * The command that was probably meant by the first of `words`, which is no command. Any text is a valid prompt, so this
 * asks for more than likeness: the same first letter, and for the short names (one letter away from `cat`, `as` or
 * `come`) no further words than the command's one argument, which an unquoted sentence always has.
 */
export function mistypedCommand(words: readonly string[], commands: readonly string[]): string | undefined {
  const [first] = words
  if (first === undefined || !/^[a-z]+$/.test(first)) return undefined
  const candidates = commands.filter((name) => name[0] === first[0] && (name.length > 4 || words.length <= 2))
  return nearest(first, candidates, (name) => (name.length <= 4 ? 1 : 2))
}

function nearest(found: string, known: readonly string[], allowed: (name: string) => number): string | undefined {
  let best: string | undefined
  let bestDistance = Number.POSITIVE_INFINITY
  for (const name of known) {
    const distance = editDistance(found, name)
    if (distance <= allowed(name) && distance < bestDistance) {
      best = name
      bestDistance = distance
    }
  }
  return best
}
