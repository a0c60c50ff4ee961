import { type Busy, keepBusy } from './busy.js'
import { serve } from './rpc.js'

let release: () => number = () => 0

const verbs = {
  start(kind: Busy): void {
    release = keepBusy(kind)
  },
  /** The share of the time that this process was busy. */
  stop: (): number => release(),
}

export type BurnerVerbs = typeof verbs

// A process beside llama-bench, which has no JavaScript thread of its own.
serve(verbs)
