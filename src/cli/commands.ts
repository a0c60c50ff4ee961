import { ask } from './ask.js'
import { chat } from './chat.js'
import { code } from './code.js'
import type { Command } from './command.js'
import { complete } from './complete.js'
import { convert } from './convert.js'
import { doctor } from './doctor.js'
import { info } from './info.js'
import { inspect } from './inspect.js'
import type { Program } from './program.js'
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
  inspect,
  convert,
  quantize,
  doctor,
  synth,
]

export const program: Program = { commands, fallback: ask, interactive: chat }
