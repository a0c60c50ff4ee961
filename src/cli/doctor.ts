import { packageVersion } from '../package-root.js'
import type { SelfCheck } from '../self-check.js'
import type { BackendReport, SystemReport } from '../system.js'
import type { LoadOptions } from '../types.js'
import { type CliContext, defineCommand } from './command.js'
import { codeOf, EXIT_FAILED, exitCodeOf, UsageError } from './errors.js'
import { withModel } from './load.js'
import { jsonFlag, loadFlags, loadOptions } from './options.js'
import { formatBytes, formatPairs, formatTable, write, writeJson } from './output.js'

interface Report {
  ok: boolean
  /** The whole report, or what is known without the addon. */
  system: SystemReport | Pick<SystemReport, 'phi2' | 'node' | 'platform'>
  selfCheck?: SelfCheck
  /** How the process ended that tried the plug-ins of `phi2 gpu add`; then they are left out here. */
  crash?: string
  error?: { code: string | undefined; message: string }
}

export const doctor = defineCommand({
  name: 'doctor',
  usage: 'doctor [options]',
  summary: 'Check this installation: versions, devices, numbers',
  notes:
    'Lists what the engine found: each backend, its version and devices with their memory, or why it serves none and how ' +
    'to get what is missing. Then the embedded model (or --model) computes known ' +
    'prompts, and the numbers are compared with those stored in the package. Ends with 1 if they differ.',
  options: { ...jsonFlag, ...loadFlags },
  examples: [
    ['phi2 doctor', 'everything'],
    ['phi2 doctor --json > report.json', 'for a bug report'],
    ['phi2 doctor --model phi-2.Q4_K_M.gguf', 'are the numbers of this model finite?'],
  ],
  async run({ values, words, context }) {
    if (words.length > 0) throw new UsageError(`phi2 doctor takes no argument, found ${words[0]}.`)
    const print = async (text: string): Promise<void> => {
      if (!values.json) await write(context.stdout, `${text}\n`)
    }
    const report: Report = { ok: false, system: versions() }
    try {
      await examine(report, loadOptions(values), context, print)
    } catch (error) {
      if (!values.json || exitCodeOf(error) !== EXIT_FAILED) throw error
      report.error = { code: codeOf(error), message: error instanceof Error ? error.message : String(error) }
    }
    if (values.json) await writeJson(context.stdout, report)
    return report.ok ? 0 : EXIT_FAILED
  },
})

async function examine(
  report: Report,
  options: LoadOptions,
  context: CliContext,
  print: (text: string) => Promise<void>,
): Promise<void> {
  await tryPlugins(report, context)
  if (report.crash !== undefined) {
    await print(`GPU plug-ins: ${report.crash}; they are left out. phi2 gpu rm removes them.\n`)
  }
  const { systemReport } = await import('../system.js')
  try {
    const system = systemReport()
    report.system = system
    await print(formatSystem(system))
  } catch (error) {
    await print(formatPairs(Object.entries(versions())))
    throw error
  }
  // Without --model the embedded one, whatever PHI2_MODEL says: its numbers are known.
  const model = options.model ?? 'tiny'
  report.selfCheck = await withModel(context, { ...options, model }, (phi2) => phi2.selfCheck(), {
    notePlugins: false,
  })
  report.ok = report.selfCheck.ok
  await print(`\n${formatCheck(report.selfCheck)}`)
}

/** In a process of its own first: this one is to live. */
async function tryPlugins(report: Report, { signal }: CliContext): Promise<void> {
  const { listPlugins } = await import('../gpu/store.js')
  if (process.env.PHI2_PLUGINS === 'off' || listPlugins().length === 0) return
  const { tryInChild } = await import('../gpu/trial.js')
  const trial = await tryInChild(signal)
  if ('backends' in trial || !trial.crashed) return
  report.crash = trial.failure
  process.env.PHI2_PLUGINS = 'off'
}

/** What is known without the addon. */
function versions(): Pick<SystemReport, 'phi2' | 'node' | 'platform'> {
  return { phi2: packageVersion(), node: process.versions.node, platform: `${process.platform}-${process.arch}` }
}

function formatSystem({ phi2, node, platform, llama, ggml, cpu, backends, devices }: SystemReport): string {
  return [
    formatPairs([
      ['phi2', phi2],
      ['Node', `${node} on ${platform}`],
      ['llama.cpp', llama],
      ['ggml', ggml],
      ['CPU', cpu.model],
      ['CPU backend', cpu.backend],
      ['CPU features', cpu.features.join(' ')],
    ]),
    formatTable([
      ['backend', 'state', 'version', 'found'],
      ...backends.map(({ name, path, source, state, version }) => [
        name,
        STATES[state],
        version ?? '',
        path === undefined ? '' : `${path}${source === 'plug-in' ? ' (phi2 gpu)' : ''}`,
      ]),
    ]),
    ...backends.flatMap((backend) => explain(backend) ?? []),
    formatTable([
      ['device', 'backend', 'type', 'free', 'memory', 'description'],
      ...devices.map((device) => [
        device.name,
        device.backend,
        device.type,
        formatBytes(device.memoryFree),
        formatBytes(device.memoryTotal),
        device.description,
      ]),
    ]),
  ].join('\n\n')
}

const STATES: Record<BackendReport['state'], string> = {
  ready: 'ready',
  'no-device': 'no device',
  failed: 'failed',
  absent: 'absent',
}

/** Why a backend serves no device, what is missing, and how to get it. */
function explain({ missing, name, reason }: BackendReport): string | undefined {
  if (reason === undefined) return undefined
  return formatPairs([[name, reason], ...missing.map(({ library, remedy }) => ['', `${library}: ${remedy}`] as const)])
}

function formatCheck({ ok, reference, maxDifference, tolerance, prompts }: SelfCheck): string {
  const verdict = ok ? 'PASS' : 'FAIL'
  // Of a model other than the embedded one there is nothing to compare with.
  const rows = prompts.map(({ name, expected, found }) =>
    reference ? [name, nats(expected), nats(found)] : [name, nats(found)],
  )
  const headings = ['self-check', ...(reference ? ['expected'] : []), 'found']
  const judgement = reference
    ? `greatest difference ${nats(maxDifference)}, allowed ${nats(tolerance)} (nats per token)`
    : `${ok ? 'all numbers are finite' : 'a number is not finite'} (nats per token)`
  return `${formatTable([headings, ...rows])}\n${verdict}: ${judgement}`
}

function nats(value: number): string {
  return value.toFixed(5)
}
