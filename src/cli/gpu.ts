import type { AddProgress } from '../gpu/install.js'
import type { Trial } from '../gpu/trial.js'
import type { BackendReport } from '../system.js'
import { type CliContext, defineCommand } from './command.js'
import { UsageError } from './errors.js'
import { jsonFlag } from './options.js'
import { formatBytes, formatTable, write, writeJson, writeNote } from './output.js'
import { ProgressLine } from './progress-line.js'
import { formatAmount } from './pull-progress.js'

export const gpu = defineCommand({
  name: 'gpu',
  usage: 'gpu [ls|add|rm] [name…]',
  summary: 'Install GPU backends that need no compiler',
  notes:
    'add fetches a backend of the very llama.cpp release that this package is built from, through npm with your settings, ' +
    'and tries it. CUDA’s own libraries are not in it: what is missing is named, with the way to get it. ls shows what is ' +
    'installed and what became of it here, rm removes.',
  options: {
    tarball: {
      type: 'string',
      doc: 'With add: a tarball that npm pack made elsewhere, instead of the network',
      group: 'Add:',
    },
    force: { type: 'boolean', doc: 'With add: install it again', group: 'Add:' },
    all: { type: 'boolean', doc: 'With rm: everything', group: 'Remove:' },
    ...jsonFlag,
  },
  examples: [
    ['phi2 gpu add cuda', 'for NVIDIA GPUs, with CUDA 13'],
    ['phi2 gpu add cuda12', 'with CUDA 12'],
    ['phi2 gpu add vulkan', 'for all GPUs with a Vulkan driver'],
    ['phi2 gpu ls', 'what is installed, and does it work?'],
    ['phi2 gpu rm --all', 'back to the CPU'],
  ],
  async run({ values, words, context }) {
    const { all = false, force, json = false, tarball } = values
    const [verb = 'ls', ...names] = words
    if (verb !== 'rm' && all) throw new UsageError('--all goes with phi2 gpu rm.')
    if (verb !== 'add' && (force || tarball !== undefined))
      throw new UsageError('--tarball and --force go with phi2 gpu add.')
    if (verb === 'ls') {
      if (names.length > 0) throw new UsageError('phi2 gpu ls takes no names.')
      await list(context, json)
    } else if (verb === 'add') {
      if (names.length !== 1) throw new UsageError(`phi2 gpu add takes one name${await knownNames()}.`)
      await add(context, names[0]!, { force, from: tarball, json })
    } else if (verb === 'rm') {
      await remove(context, { all, json, names })
    } else {
      throw new UsageError(`Unknown: phi2 gpu ${verb}. Expected phi2 gpu ls, phi2 gpu add or phi2 gpu rm.`)
    }
    return 0
  },
})

async function knownNames(): Promise<string> {
  const { availablePlugins } = await import('../gpu/install.js')
  const names = availablePlugins().map(({ name }) => name)
  return names.length === 0 ? '' : `: ${names.join(', ')}`
}

async function add(
  { signal, stderr, stdout }: CliContext,
  name: string,
  { json, ...options }: { force: boolean | undefined; from: string | undefined; json: boolean },
): Promise<void> {
  const { addPlugin } = await import('../gpu/install.js')
  const progress = new ProgressLine(stderr, `installing ${name}`)
  const onProgress = ({ done, step, total }: AddProgress) => {
    // Fetching takes most of the time, unpacking the rest.
    const fraction = step === 'unpack' ? 0.9 + (0.1 * done) / total : (0.9 * done) / total
    progress.update(fraction, step === 'wait' ? 'another process is at it' : `${step} ${formatAmount(done, total)}`)
  }
  const result = await addPlugin(name, { ...options, signal, onProgress }).finally(() => progress.end())
  // Not in this process: a driver may end it.
  const { tryInChild } = await import('../gpu/trial.js')
  const trial = await tryInChild(signal)
  const report = 'backends' in trial ? trial.backends.find(({ name }) => name === result.backend) : undefined
  if (json) return writeJson(stdout, { ...result, ...(report ? { report } : trial) })
  const what = `${result.name} of llama.cpp ${result.tag}`
  await writeNote(stderr, `phi2: ${what} ${result.cached ? 'was installed already' : 'is installed'}`)
  await write(stdout, `${result.path}\n`)
  if (report) {
    await writeNote(stderr, describe(report))
    const older = await olderCuda(report)
    if (older !== undefined) await writeNote(stderr, older)
  }
  if ('failure' in trial) await writeNote(stderr, failureNote(trial, result.name))
}

/** A hint where the newer CUDA fails and the older one's libraries are here. */
async function olderCuda({ missing, name, reason = '', state }: BackendReport): Promise<string | undefined> {
  const newer =
    missing.some(({ library }) => library === 'libcublas.so.13') || /driver version is insufficient/.test(reason)
  if (name !== 'cuda' || state === 'ready' || !newer) return undefined
  const { hasLibrary } = await import('../gpu/libraries.js')
  return hasLibrary('libcublas.so.12') ? 'phi2: CUDA 12 is here, which phi2 gpu add cuda12 is for' : undefined
}

function failureNote({ crashed, failure }: Extract<Trial, { failure: string }>, name: string): string {
  return `phi2: ${failure}${crashed ? `. Without it: phi2 gpu rm ${name}` : ''}`
}

/** What became of a backend, in a sentence or a few lines. */
function describe({ devices, missing, name, reason, state }: BackendReport): string {
  if (state === 'ready') {
    const found = devices.map((device) => `${device.description} with ${formatBytes(device.memoryTotal)}`)
    return `phi2: ${name} finds ${found.join(', ')}`
  }
  const remedies = missing.map(({ library, remedy }) => `\nphi2: ${library}: ${remedy}`)
  return `phi2: ${name} cannot be used yet: ${reason}${remedies.join('')}`
}

async function list({ signal, stderr, stdout }: CliContext, json: boolean): Promise<void> {
  const [{ listPlugins }, { availablePlugins }] = await Promise.all([
    import('../gpu/store.js'),
    import('../gpu/install.js'),
  ])
  const plugins = listPlugins()
  const { tryInChild } = await import('../gpu/trial.js')
  const trial: Trial = plugins.length === 0 ? { backends: [] } : await tryInChild(signal)
  const entries = plugins.map((plugin) => ({ ...plugin, ...stateOf(plugin.path, plugin.backend, trial) }))
  if (json) return writeJson(stdout, entries)
  if (entries.length === 0) {
    const names = availablePlugins().map(({ name }) => `phi2 gpu add ${name}`)
    const hint = names.length === 0 ? ' There are none for this platform.' : ` To install one: ${names.join(', ')}.`
    return writeNote(stderr, `phi2: no GPU backend is installed.${hint}`)
  }
  const rows = entries.map(({ bytes, name, reason, state, tag }) => [
    name,
    formatBytes(bytes),
    tag,
    state,
    reason ?? '',
  ])
  await write(stdout, `${formatTable([['name', 'size', 'llama.cpp', 'state', 'because'], ...rows])}\n`)
}

/** `unused`: another plug-in, or one beside the addon, serves that kind of GPU. */
function stateOf(
  folder: string,
  backend: string,
  trial: Trial,
): { state: BackendReport['state'] | 'unused'; reason?: string } {
  if ('failure' in trial) return { state: 'failed', reason: trial.failure }
  const report = trial.backends.find(({ name }) => name === backend)
  if (!report?.path?.startsWith(folder)) {
    return { state: 'unused', reason: report?.path ? `${report.path} is used` : (report?.reason ?? 'it was not tried') }
  }
  return { state: report.state, ...(report.reason === undefined ? {} : { reason: report.reason }) }
}

async function remove(
  { stderr, stdout }: CliContext,
  { all, json, names }: { all: boolean; json: boolean; names: readonly string[] },
): Promise<void> {
  if (all === names.length > 0) {
    throw new UsageError('phi2 gpu rm takes the names of what to remove, or --all. phi2 gpu ls shows the names.')
  }
  const { removePlugins } = await import('../gpu/install.js')
  const removed = await removePlugins(all ? 'all' : names)
  if (json) return writeJson(stdout, removed)
  for (const { bytes, name, version } of removed) {
    await writeNote(stderr, `phi2: removed ${name} (version ${version}, ${formatBytes(bytes)})`)
  }
  if (removed.length === 0) await writeNote(stderr, 'phi2: no GPU backend was installed.')
}
