/**
 * Memory, time and responsiveness of a full-size conversion. It makes a random checkpoint of 5.6 GB and converts it in a
 * process of its own to each type; 17 GB of free space are needed.
 *
 * Usage: npx tsx bench/convert-memory.ts [FOLDER]    (default: the system's folder for temporary files)
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { convert, OUT_TYPES, quantize, synthCheckpoint } from '../gguf/index.js'

/** The embedding in the type of the checkpoint: 51200 × 2560 in F16. */
const LARGEST_TENSOR = 51200 * 2560 * 2
const ALLOWED = LARGEST_TENSOR + 600e6

interface Measured {
  seconds: number
  peakBytes: number
  /** Milliseconds in which the event loop was held up. On a busy machine the tail is that of the machine. */
  delayMedian: number
  delayP99: number
  delayMax: number
}

const RESOLUTION_MS = 1

/** The child: one task, its figures as JSON. */
async function measure(task: () => Promise<unknown>): Promise<Measured> {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delay.enable()
  const start = performance.now()
  await task()
  const seconds = (performance.now() - start) / 1000
  delay.disable()
  const held = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS)
  return {
    seconds,
    peakBytes: await peakMemory(),
    delayMedian: held(delay.percentile(50)),
    delayP99: held(delay.percentile(99)),
    delayMax: held(delay.max),
  }
}

async function peakMemory(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '')
  const peak = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]
  return 1024 * (peak === undefined ? process.resourceUsage().maxRSS : Number(peak))
}

async function inChild(...args: string[]): Promise<Measured> {
  const script = fileURLToPath(import.meta.url)
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', script, ...args])
  return JSON.parse(stdout)
}

function row(name: string, { seconds, peakBytes, delayMedian, delayP99, delayMax }: Measured): string {
  const cells = [
    name.padEnd(24),
    `${seconds.toFixed(1)} s`.padStart(8),
    `${(peakBytes / 1e6).toFixed(0)} MB`.padStart(9),
    `${delayMedian.toFixed(2)} ms`.padStart(11),
    `${delayP99.toFixed(2)} ms`.padStart(9),
    `${delayMax.toFixed(1)} ms`.padStart(9),
  ]
  return cells.join('  ')
}

async function main(parent: string): Promise<void> {
  const folder = await mkdtemp(join(parent, 'phi2-bench-'))
  try {
    const from = join(folder, 'phi-2-random')
    const start = performance.now()
    await synthCheckpoint({ to: from })
    console.log(`A checkpoint of 5.6 GB was made in ${((performance.now() - start) / 1000).toFixed(0)} s.`)
    console.log(`Allowed: ${(ALLOWED / 1e6).toFixed(0)} MB, which is 600 MB above the largest tensor.\n`)
    console.log(`${'type'.padEnd(24)}      time   peak RSS  loop median  loop p99   loop max`)
    let highest = 0
    const report = (name: string, measured: Measured) => {
      highest = Math.max(highest, measured.peakBytes)
      console.log(row(name, measured))
    }
    console.log(row('nothing, for 5 seconds', await inChild('wait')))
    const to = join(folder, 'x.gguf')
    for (const outtype of OUT_TYPES) {
      if (outtype !== 'auto') report(outtype, await inChild('convert', from, to, outtype))
    }
    report('f16, fused, verified', await inChild('convert', from, to, 'f16', 'fused'))
    console.log(`\n${highest <= ALLOWED ? 'PASS' : 'FAIL'}: the highest is ${(highest / 1e6).toFixed(0)} MB.`)
    console.log('\nFor comparison, the quantizer of llama.cpp from the F16 file, which it maps into memory:')
    console.log(row('f16 → q8_0', await inChild('quantize', to, join(folder, 'q8_0.gguf'))))
    process.exitCode = highest <= ALLOWED ? 0 : 1
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const [task = tmpdir(), from = '', to = '', outtype, fused] = process.argv.slice(2)
if (task === 'convert') {
  const type = OUT_TYPES.find((name) => name === outtype)
  const both = fused === 'fused'
  console.log(JSON.stringify(await measure(() => convert({ from, to, outtype: type, fuseQkv: both, verify: both }))))
} else if (task === 'quantize') {
  console.log(JSON.stringify(await measure(() => quantize({ from, to, type: 'q8_0' }))))
} else if (task === 'wait') {
  // what the machine itself does to the event loop
  console.log(JSON.stringify(await measure(() => setTimeout(5000))))
} else {
  await main(task)
}
