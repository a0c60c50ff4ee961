import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

// A model below this size computes one matrix in microseconds: threads would wait for each other longer than they work,
// and for a whole time slice each time when the machine is busy (measured with phi-2-tiny: 229 against 11 tokens/s).
const smallModelBytes = 200e6

/**
 * Compute threads by default: one for a small model, otherwise one per physical core that this process may use. Two
 * threads on one core only wait for each other in matrix products; on small virtual machines, where siblings cannot be
 * told, all processors are taken.
 */
export function defaultThreads(modelBytes: number): number {
  if (modelBytes < smallModelBytes) return 1
  const processors = usableProcessors()
  if (processors <= 4) return processors
  const cores = physicalCores(processors)
  return Math.max(1, Math.min(processors, cores ?? (process.arch === 'x64' ? Math.floor(processors / 2) : processors)))
}

function physicalCores(processors: number): number | undefined {
  if (process.platform !== 'linux') return undefined
  const cores = new Set<string>()
  try {
    for (let cpu = 0; cpu < processors; cpu++) {
      cores.add(readFileSync(`/sys/devices/system/cpu/cpu${cpu}/topology/thread_siblings_list`, 'utf8'))
    }
  } catch {
    return undefined
  }
  return cores.size
}

/**
 * The threads to use and, if more were asked for than there are processors, why not so many: the engine's threads wait
 * for each other by spinning, and one too many costs a time slice at every step (3 threads on 2 processors: 6.5 s instead
 * of 19 ms for ten tokens of phi-2-tiny).
 */
export function chooseThreads(
  wanted: number | undefined,
  modelBytes: number,
): { threads: number; warning: string | undefined } {
  const processors = usableProcessors()
  if (wanted === undefined) return { threads: defaultThreads(modelBytes), warning: undefined }
  if (wanted <= processors) return { threads: wanted, warning: undefined }
  return {
    threads: processors,
    warning: `threads is ${wanted}, but this process may use ${processors} processors; ${processors} threads are used.`,
  }
}

/** Containers limit processor time by a quota that availableParallelism() does not see. */
export function usableProcessors(): number {
  const processors = availableParallelism()
  try {
    const [quota, period] = readFileSync('/sys/fs/cgroup/cpu.max', 'utf8').split(' ').map(Number)
    const allowed = Math.ceil(quota! / period!)
    return Number.isFinite(allowed) ? Math.max(1, Math.min(processors, allowed)) : processors
  } catch {
    return processors
  }
}
