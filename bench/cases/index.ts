import { abort } from './abort.js'
import { busy } from './busy.js'
import type { Case } from './case.js'
import { chat } from './chat.js'
import { coldStart } from './cold-start.js'
import { cost } from './cost.js'
import { decode, streams } from './decode.js'
import { load } from './load.js'
import { memory } from './memory.js'
import { prefill } from './prefill.js'
import { prefix } from './prefix.js'
import { speculate } from './speculate.js'
import { stop } from './stop.js'

/** In the order of the report. */
export const CASES: readonly Case[] = [
  ...[prefill, decode, streams, busy, chat, prefix, speculate, abort, load, coldStart, memory, stop, cost],
]
