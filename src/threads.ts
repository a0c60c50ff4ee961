import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/**
 * Compute threads by default: one per physical core that this process may use. Two threads on one core only wait for
 * each other in matrix products; on small virtual machines, where siblings cannot be told, all processors are taken.
 */
export function defaultThreads(): number {
  const processors = availableParallelism()
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
