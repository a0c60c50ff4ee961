/** Each is one token of Phi-2 when a space is before it, and any text of them falls into these tokens again. */
export const WORDS = [
  ...['time', 'people', 'way', 'water', 'words', 'day', 'part', 'sound', 'work', 'place', 'year', 'back', 'name'],
  ...['sentence', 'man', 'line', 'boy', 'farm', 'page', 'letter', 'mother', 'answer', 'study', 'plant', 'school'],
  ...['father', 'tree', 'city', 'earth', 'eye', 'head', 'story', 'life', 'paper', 'group', 'river', 'car', 'feet'],
  ...['book', 'rain', 'room', 'friend', 'idea', 'fish', 'north', 'base', 'horse', 'color', 'face', 'wood', 'girl'],
] as const

/**
 * A text of so many tokens. Texts of different numbers begin with different words, so that no cache of an earlier one
 * serves a later one.
 */
export function wordsText(tokens: number, number: number): string {
  const at = (index: number) => ` ${WORDS[index % WORDS.length]}`
  // Steps that have no common factor with the number of words: the order differs from text to text.
  const step = 2 + (number % (WORDS.length - 2))
  return Array.from({ length: tokens }, (_, i) => at(number + i * (i + 1) * step)).join('')
}
