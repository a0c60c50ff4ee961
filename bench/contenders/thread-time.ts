import { readFileSync } from 'node:fs'

/** Milliseconds of processor time that the calling thread has used. */
export function threadCpuMs(): number {
  const { threadCpuUsage } = process as { threadCpuUsage?: () => { user: number; system: number } } // Node 23.9
  if (threadCpuUsage) {
    const { user, system } = threadCpuUsage.call(process)
    return (user + system) / 1e3
  }
  if (process.platform !== 'linux') throw new Error('The processor time of one thread can be told on Linux only.')
  return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[0]) / 1e6
}
