import { nativeError } from './errors.js'

/** Work on a thread of the addon: a promise, and how to make it end soon. */
export interface NativeTask<T> {
  promise: Promise<T>
  cancel(): void
}

/**
 * Waits for a task and cancels it when the signal is aborted; the promise settles only when its thread has ended.
 * Rejects with `signal.reason` or with the package's own error.
 */
export async function settle<T>(task: NativeTask<T>, signal?: AbortSignal): Promise<T> {
  const cancel = (): void => task.cancel()
  if (signal?.aborted) cancel()
  signal?.addEventListener('abort', cancel, { once: true })
  try {
    return await task.promise
  } catch (error) {
    throw signal?.aborted ? signal.reason : nativeError(error)
  } finally {
    signal?.removeEventListener('abort', cancel)
  }
}

/** Waits for work that others may wait for, too: an abort ends the waiting alone. */
export async function waitFor<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
  let stop = (): void => {}
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal?.reason)
  })
  if (signal?.aborted) stop()
  signal?.addEventListener('abort', stop, { once: true })
  try {
    return await Promise.race([work, aborted])
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

/** Calls the user's function out of native code, where an exception must neither vanish nor stop the work. */
export function guarded(callback: () => void): void {
  try {
    callback()
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
