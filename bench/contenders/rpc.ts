import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

type Verbs = Record<string, (parameters: never) => unknown>
type Parameters<V extends Verbs, K extends keyof V> = V[K] extends (parameters: infer P) => unknown ? P : never
type Result<V extends Verbs, K extends keyof V> = Awaited<ReturnType<V[K]>>

interface Request {
  verb: string
  parameters: unknown
}

type Reply = { result: unknown } | { error: string }

/** In the child: answers one request after the other, as JSON lines over the channel that `fork` makes. */
export function serve(verbs: Verbs): void {
  process.on('message', async ({ verb, parameters }: Request) => {
    let reply: Reply
    try {
      reply = { result: await verbs[verb]!(parameters as never) }
    } catch (error) {
      reply = { error: error instanceof Error ? (error.stack ?? error.message) : String(error) }
    }
    process.send!(reply)
  })
  process.once('disconnect', () => process.exit())
}

/** In the parent: a program of its own for each contender, so that memory and processor time are told apart. */
export class Driver<V extends Verbs> {
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>

  constructor(module: string, args: readonly string[] = [], environment: NodeJS.ProcessEnv = {}) {
    this.#child = fork(module, args, {
      execArgv: module.endsWith('.ts') ? ['--import', 'tsx'] : [],
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    this.#exited = once(this.#child, 'exit')
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** One at a time. */
  async call<K extends keyof V & string>(verb: K, parameters: Parameters<V, K>): Promise<Result<V, K>> {
    const answered = once(this.#child, 'message')
    this.#child.send({ verb, parameters } satisfies Request)
    const ended = this.#exited.then((exit) => {
      throw new Error(`The process of ${this.#child.spawnargs.at(-1)} ended (${exit}) before it answered ${verb}.`)
    })
    const [reply] = (await Promise.race([answered, ended])) as [Reply]
    if ('error' in reply) throw new Error(reply.error)
    return reply.result as Result<V, K>
  }

  async close(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect()
    await this.#exited
  }
}
