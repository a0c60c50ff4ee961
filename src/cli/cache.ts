import type { CacheEntry } from '../models/cache-list.js'
import { type CliContext, defineCommand } from './command.js'
import { UsageError } from './errors.js'
import { jsonFlag } from './options.js'
import { formatBytes, formatTable, write, writeJson, writeNote } from './output.js'

export const cache = defineCommand({
  name: 'cache',
  usage: 'cache [ls|rm|path] [name…]',
  summary: 'Show or remove downloaded models',
  notes:
    'ls lists what is in the cache, rm removes models by their names there, path prints the folder: PHI2_CACHE, else ' +
    'where the system keeps such files.',
  options: {
    all: { type: 'boolean', doc: 'With rm: everything', group: 'Remove:' },
    ...jsonFlag,
  },
  examples: [
    ['phi2 cache ls', 'what is there'],
    ['phi2 cache rm q4_k_m', 'remove a model'],
    ['phi2 cache rm --all', 'remove everything'],
    ['phi2 cache path', 'the folder'],
  ],
  async run({ values, words, context }) {
    const { all = false, json = false } = values
    const [verb = 'ls', ...names] = words
    if (verb !== 'rm' && (names.length > 0 || all)) {
      throw new UsageError(`phi2 cache ${verb} takes no ${all ? '--all' : 'names'}; phi2 cache rm does.`)
    }
    const { cacheFolder } = await import('../models/cache.js')
    const folder = cacheFolder(context.env)
    if (verb === 'ls') await list(context, folder, json)
    else if (verb === 'path') await (json ? writeJson(context.stdout, folder) : write(context.stdout, `${folder}\n`))
    else if (verb === 'rm') await remove(context, folder, { names, all, json })
    else throw new UsageError(`Unknown: phi2 cache ${verb}. Expected phi2 cache ls, phi2 cache rm or phi2 cache path.`)
    return 0
  },
})

async function list({ stderr, stdout }: CliContext, folder: string, json: boolean): Promise<void> {
  const { listCache } = await import('../models/cache-list.js')
  const entries = await listCache(folder)
  if (json) return writeJson(stdout, entries)
  if (entries.length === 0) return writeNote(stderr, `phi2: nothing is in ${folder}. phi2 pull downloads a model.`)
  await write(stdout, `${formatEntries(entries)}\n`)
  if (stdout.isTTY) await write(stdout, `${formatBytes(totalOf(entries))} in ${folder}\n`)
}

function formatEntries(entries: readonly CacheEntry[]): string {
  return formatTable([
    ['name', 'size', 'state', 'date', 'source'],
    ...entries.map((entry) => [
      entry.name,
      formatBytes(entry.bytes),
      stateOf(entry),
      entry.date?.slice(0, 10) ?? '',
      entry.source ?? '',
    ]),
  ])
}

function stateOf({ complete, converted, kind }: CacheEntry): string {
  if (!complete) return 'partial'
  if (kind === 'checkpoint') return 'checkpoint'
  return converted ? 'made here' : 'complete'
}

function totalOf(entries: readonly CacheEntry[]): number {
  return entries.reduce((sum, { bytes }) => sum + bytes, 0)
}

async function remove(
  { stderr, stdout }: CliContext,
  folder: string,
  { all, json, names }: { names: readonly string[]; all: boolean; json: boolean },
): Promise<void> {
  if (all === names.length > 0) {
    throw new UsageError('phi2 cache rm takes the names of what to remove, or --all. phi2 cache ls shows the names.')
  }
  const { listCache, removeFromCache } = await import('../models/cache-list.js')
  const wanted = all ? (await listCache(folder)).map(({ path }) => path) : names
  const removed = await removeFromCache(wanted, folder)
  if (json) return writeJson(stdout, removed)
  for (const { bytes, name } of removed) await writeNote(stderr, `phi2: removed ${name} (${formatBytes(bytes)})`)
  if (removed.length === 0) await writeNote(stderr, `phi2: nothing was in ${folder}.`)
}
