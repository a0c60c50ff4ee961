import { packageVersion } from '../package-root.js'
import type { SelfCheck } from '../self-check.js'
import type { SystemReport } from '../system.js'
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
  error?: { code: string | undefined; message: string }
}

export const doctor = defineCommand({
  name: 'doctor',
  usage: 'doctor [options]',
  summary: 'Check this installation: versions, devices, numbers',
  notes:
    'Lists what the engine found, what it did not take, and why. Then the embedded model (or --model) computes known ' +
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
  report.selfCheck = await withModel(context, { ...options, model }, (phi2) => phi2.selfCheck())
  report.ok = report.selfCheck.ok
  await print(`\n${formatCheck(report.selfCheck)}`)
}

/** What is known without the addon. */
function versions(): Pick<SystemReport, 'phi2' | 'node' | 'platform'> {
  return { phi2: packageVersion(), node: process.versions.node, platform: `${process.platform}-${process.arch}` }
}

function formatSystem({ phi2, node, platform, llama, ggml, cpu, devices, notTaken }: SystemReport): string {
  const parts = [
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
  ]
  if (notTaken.length > 0) {
    parts.push(formatTable([['not taken', 'because'], ...notTaken.map(({ backend, reason }) => [backend, reason])]))
  }
  return parts.join('\n\n')
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
