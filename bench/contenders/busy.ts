/** How the JavaScript thread is kept from its event loop: computing, or waiting without using the processor. */
export type Busy = 'burning' | 'blocked'

const BUSY_MS = 5
const FREE_MS = 5

const nothing = new Int32Array(new SharedArrayBuffer(4))

/** Keeps this thread busy for 5 of 10 ms until the returned function is called, which gives the share that it was. */
export function keepBusy(kind: Busy): () => number {
  const started = performance.now()
  let busy = 0
  let timer = setTimeout(turn, 0)
  function turn(): void {
    const from = performance.now()
    if (kind === 'blocked') Atomics.wait(nothing, 0, 0, BUSY_MS)
    else while (performance.now() < from + BUSY_MS);
    busy += performance.now() - from
    timer = setTimeout(turn, FREE_MS)
  }
  return () => {
    clearTimeout(timer)
    return busy / (performance.now() - started)
  }
}
