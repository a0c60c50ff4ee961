import type { Command } from './command.js'
import type { CommandEntry, Program } from './program.js'

const ask = entry('ask', async () => (await import('./ask.js')).ask)
const chat = entry('chat', async () => (await import('./chat.js')).chat)

/** In the order of the help. */
const commands: readonly CommandEntry[] = [
  ask,
  chat,
  entry('code', async () => (await import('./code.js')).code),
  entry('complete', async () => (await import('./complete.js')).complete),
  entry('tokens', async () => (await import('./tokens.js')).tokens),
  entry('info', async () => (await import('./info.js')).info),
  entry('plan', async () => (await import('./plan.js')).plan),
  entry('pull', async () => (await import('./pull.js')).pull),
  entry('cache', async () => (await import('./cache.js')).cache),
  entry('inspect', async () => (await import('./inspect.js')).inspect),
  entry('convert', async () => (await import('./convert.js')).convert),
  entry('quantize', async () => (await import('./quantize.js')).quantize),
  entry('imatrix', async () => (await import('./imatrix.js')).imatrix),
  entry('perplexity', async () => (await import('./perplexity.js')).perplexity),
  entry('bench', async () => (await import('./bench.js')).bench),
  entry('tune', async () => (await import('./tune.js')).tune),
  entry('build', async () => (await import('./build.js')).build),
  entry('gpu', async () => (await import('./gpu.js')).gpu),
  entry('doctor', async () => (await import('./doctor.js')).doctor),
  entry('synth', async () => (await import('./synth.js')).synth),
]

export const program: Program = { commands, fallback: ask, interactive: chat }

function entry(name: string, load: () => Promise<Command>): CommandEntry {
  return { name, load }
}
