import { randomSource } from '../../gguf/random-weights.js'

// The text of a chain model (chain-model.ts): all tokens of the vocabulary in a fixed order, again and again.

/** Ids in use; what follows are padding rows. */
const USED = 50295
const END_OF_TEXT = 50256
const SEED = 7

/** Tokens of the chain, in a row; `from` is a place in it. */
export function chain(from: number, length: number): Int32Array {
  const places = chainOrder()
  return Int32Array.from({ length }, (_, i) => places[(from + i) % places.length]!)
}

export const CHAIN_LENGTH = USED - 1

let order: Int32Array | undefined

/** All tokens but the one that ends texts, shuffled. */
function chainOrder(): Int32Array {
  if (order) return order
  order = Int32Array.from({ length: USED }, (_, id) => id).filter((id) => id !== END_OF_TEXT)
  const random = randomSource(SEED)
  for (let i = order.length - 1; i > 0; i--) {
    const other = random() % (i + 1)
    const token = order[i]!
    order[i] = order[other]!
    order[other] = token
  }
  return order
}

let previous: Map<number, number> | undefined

export function previousToken(id: number): number | undefined {
  if (!previous) {
    const tokens = chainOrder()
    previous = new Map(Array.from(tokens, (token, place) => [tokens[(place + 1) % tokens.length]!, token]))
  }
  return previous.get(id)
}
