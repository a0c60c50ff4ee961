import { ask } from './ask.js'
import { cache } from './cache.js'
import { chat } from './chat.js'
import { code } from './code.js'
import type { Command } from './command.js'
import { complete } from './complete.js'
import { convert } from './convert.js'
import { doctor } from './doctor.js'
import { imatrix } from './imatrix.js'
import { info } from './info.js'
import { inspect } from './inspect.js'
import { perplexity } from './perplexity.js'
import type { Program } from './program.js'
import { pull } from './pull.js'
import { quantize } from './quantize.js'
import { synth } from './synth.js'
import { tokens } from './tokens.js'

/** In the order of the help. */
const commands: readonly Command[] = [
  ask,
  chat,
  code,
  complete,
  tokens,
  info,
  pull,
  cache,
  inspect,
  convert,
  quantize,
  imatrix,
  perplexity,
  doctor,
  synth,
]

export const program: Program = { commands, fallback: ask, interactive: chat }
