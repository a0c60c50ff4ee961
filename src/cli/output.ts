import { oneLine, printable } from '../printable.js'
import type { Answer } from '../types.js'
import type { OutputStream } from './command.js'
import { codeOf, OutputClosed } from './errors.js'

/**
 * Writes and waits until the text has left, so that a slow reader slows the model down instead of filling the memory.
 * @throws {OutputClosed} when the reader is gone
 */
export function write(stream: OutputStream, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => {
      if (!error) resolve()
      else reject(isClosed(error) ? new OutputClosed('Standard output was closed', { cause: error }) : error)
    })
  })
}

/** The ways in which a write says that nobody reads: a broken pipe, its name on Windows, a stream that already failed. */
function isClosed(error: Error): boolean {
  return ['EPIPE', 'EOF', 'ERR_STREAM_DESTROYED', 'ERR_STREAM_WRITE_AFTER_END'].includes(codeOf(error) ?? '')
}

/** Says something on standard error, names out of a file included. Nobody may listen there: no reason to stop. */
export function writeNote(stream: OutputStream, text: string): Promise<void> {
  return new Promise((resolve) => {
    stream.write(`${printable(text)}\n`, () => resolve())
  })
}

/** One object on one line for programs, indented for people. */
export async function writeJson(stream: OutputStream, value: unknown): Promise<void> {
  await write(stream, `${printable(JSON.stringify(value, null, stream.isTTY ? 2 : undefined))}\n`)
}

/** Lines of `name  value`, the values aligned. What could steer the terminal is escaped: values come out of files. */
export function formatPairs(pairs: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length))
  return pairs.map(([name, value]) => oneLine(`${name.padEnd(width)}  ${value}`.trimEnd())).join('\n')
}

/** Rows with aligned columns, the first row being the headings. What could steer the terminal is escaped. */
export function formatTable(given: readonly (readonly string[])[]): string {
  const rows = given.map((row) => row.map(oneLine))
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** `--stats`: what an answer cost and why it ended. */
export function formatStats(answer: Answer): string {
  const { usage, timings } = answer
  const seconds = ((timings.queueMs + timings.promptMs + timings.decodeMs) / 1000).toFixed(2)
  const guessed = usage.acceptedPredictionTokens + usage.rejectedPredictionTokens
  return [
    `${usage.promptTokens} prompt tokens (${usage.cachedTokens} cached)`,
    `${usage.completionTokens} tokens in ${seconds} s`,
    `${timings.tokensPerSecond.toFixed(1)} tok/s`,
    ...(guessed > 0 ? [`${usage.acceptedPredictionTokens} of ${guessed} guesses right`] : []),
    `ended by ${ending(answer)}`,
    `seed ${answer.seed}`,
  ].join(', ')
}

function ending({ finishReason, stop }: Answer): string {
  if (finishReason === 'length') return 'its length limit'
  return stop === undefined ? 'a stop' : JSON.stringify(stop)
}

export function formatBytes(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.round(bytes / 1e3)} kB`
}
