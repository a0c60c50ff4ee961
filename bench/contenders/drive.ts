import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Busy, keepBusy } from './busy.js'
import { type Driver, serve } from './rpc.js'
import type { Completed, CompleteOptions, Subject, SubjectOptions } from './subject.js'
import { threadCpuMs } from './thread-time.js'

export type SubjectDriver = Driver<ReturnType<typeof verbsOf>>

/** Makes this process the driver of a library: what the cases ask for is timed here, in the same way for all of them. */
export function drive(subject: Subject): void {
  serve(verbsOf(subject))
}

export interface Run {
  /** One for each stream. */
  prompts: readonly string[]
  maxTokens: number
  busy?: Busy | undefined
}

export interface Ran {
  /** From the call to the end of the last stream. */
  ms: number
  /** Tokens that went through the model. */
  evaluated: number
  /** Share of the time that the JavaScript thread was kept busy. */
  busyShare: number
}

export interface Aborts {
  /** Aborted while the prompt is read, or after the first text. */
  phase: 'prefill' | 'decode'
  prompts: readonly string[]
  /** Milliseconds to wait before each abort. */
  delays: readonly number[]
}

function verbsOf(subject: Subject) {
  return {
    async load(options: SubjectOptions): Promise<{ ms: number }> {
      return { ms: await timed(() => subject.load(options)) }
    },

    /** All prompts at once. */
    async run({ prompts, maxTokens, busy }: Run): Promise<Ran> {
      const before = subject.evaluatedTokens()
      const release = busy === undefined ? () => 0 : keepBusy(busy)
      const options = { maxTokens, onText: ignore }
      const ms = await timed(async () => {
        for (const { sampled } of await Promise.all(
          prompts.map((prompt, stream) => subject.complete(stream, prompt, options)),
        )) {
          // node-llama-cpp samples one more where the last one ends inside a character.
          if (sampled < maxTokens) throw new Error(`An answer ended after ${sampled} of ${maxTokens} tokens.`)
        }
      })
      return { ms, evaluated: subject.evaluatedTokens() - before, busyShare: release() }
    },

    /** One conversation: each message is answered with so many tokens before the next is said. */
    async chat(turns: readonly { message: string; maxTokens: number }[]): Promise<Ran[]> {
      subject.startChat()
      const ran: Ran[] = []
      for (const { message, maxTokens } of turns) {
        const before = subject.evaluatedTokens()
        const ms = await timed(() => subject.say(message, { maxTokens, plainWords: true, onText: ignore }))
        ran.push({ ms, evaluated: subject.evaluatedTokens() - before, busyShare: 0 })
      }
      return ran
    },

    countTokens: (text: string): Promise<number> => subject.countTokens(text),

    complete: ({ prompt, ...options }: { prompt: string } & CompleteOptions): Promise<Completed> =>
      subject.complete(0, prompt, options),

    /** Milliseconds from each abort until the promise is settled, and until the library says that nothing runs. */
    async abort({ phase, prompts, delays }: Aborts): Promise<{ settled: number[]; idle: number[] }> {
      const settled: number[] = []
      const idle: number[] = []
      for (const [i, delay] of delays.entries()) {
        const controller = new AbortController()
        const { promise: firstText, resolve: onText } = withResolvers()
        const answer = subject
          .complete(0, prompts[i % prompts.length]!, { maxTokens: 500, signal: controller.signal, onText })
          .then(
            () => 'completed',
            () => 'aborted',
          )
        if (phase === 'decode') await firstText
        await sleep(delay)
        const from = performance.now()
        controller.abort()
        if ((await answer) === 'completed') throw new Error('An answer that was to be aborted had ended before.')
        settled.push(performance.now() - from)
        while (subject.idle() === false) await sleep(1)
        if (subject.idle() !== undefined) idle.push(performance.now() - from)
      }
      return { settled, idle }
    },

    /** Processor time of the JavaScript thread for one answer. */
    async cpu({ prompt, maxTokens }: { prompt: string; maxTokens: number }): Promise<{ ms: number; tokens: number }> {
      const before = threadCpuMs()
      const { sampled } = await subject.complete(0, prompt, { maxTokens, onText: ignore })
      return { ms: threadCpuMs() - before, tokens: sampled }
    },

    /** Megabytes. `own` leaves out what is a view of the model's file. */
    memory(): { resident: number; own: number } {
      const resident = process.memoryUsage.rss() / 1e6
      if (process.platform !== 'linux') return { resident, own: Number.NaN }
      const own = /^RssAnon:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]
      return { resident, own: (Number(own) * 1024) / 1e6 }
    },
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const from = performance.now()
  await work()
  return performance.now() - from
}

function ignore(): void {}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
