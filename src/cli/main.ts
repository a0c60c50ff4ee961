#!/usr/bin/env node
import { program } from './commands.js'
import { describeError, exitCodeOf, Interrupted, UsageError } from './errors.js'
import { runProgram } from './program.js'

const { stdin, stdout, stderr, env } = process

const interrupt = new AbortController()
// npm and timeout pass on a signal that the terminal has sent to this process, too: within this time it is the same one.
const ONCE_MS = 500
let interruptedAt = 0
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    const reason = new Interrupted(name)
    // The first one ends the work in order; asked again, the process ends at once.
    if (!interrupt.signal.aborted) interruptedAt = performance.now()
    else if (performance.now() - interruptedAt > ONCE_MS) process.exit(reason.exitCode)
    interrupt.abort(reason)
  })
}
// A failed write is seen by the one who waits for it; without a listener the same error would end the process.
stdout.on('error', () => {})
stderr.on('error', () => {})

try {
  process.exitCode = await runProgram(program, process.argv.slice(2), {
    stdin,
    stdout,
    stderr,
    env,
    signal: interrupt.signal,
  })
  if (interrupt.signal.aborted) process.exitCode = exitCodeOf(interrupt.signal.reason)
} catch (error) {
  const reason = interrupt.signal.aborted ? interrupt.signal.reason : error
  process.exitCode = exitCodeOf(reason)
  const text = describeError(reason, Boolean(env.PHI2_DEBUG))
  if (text) stderr.write(`${text}\n`)
  if (reason instanceof UsageError) stderr.write('phi2 --help shows the commands and their options.\n')
}
// A pipe that was read and is still open would keep the process; a file has nothing to let go of.
stdin.unref?.()
