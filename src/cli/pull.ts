import { namedModelPath } from '../models/cache.js'
import { type CatalogModel, catalog, DEFAULT_MODEL, isLegacy } from '../models/catalog.js'
import { HUB_NAMES } from '../models/hub.js'
import { MADE_TYPES, madeType } from '../models/names.js'
import type { PullOptions, PullResult } from '../models/pull.js'
import { type CliContext, defineCommand, type OutputStream } from './command.js'
import { UsageError } from './errors.js'
import { jsonFlag } from './options.js'
import { formatBytes, formatTable, write, writeJson, writeNote } from './output.js'
import { PullProgressLine } from './pull-progress.js'

export const pull = defineCommand({
  name: 'pull',
  usage: 'pull [options] [name]',
  summary: 'Download Phi-2, or make a type from the original',
  notes: [
    `Names are the types of the catalog (--list), by default ${DEFAULT_MODEL}; ${catalog.checkpoint.name}, the original ` +
      'checkpoint; hf:org/name/file.gguf[@revision], modelscope:org/name/file.gguf[@revision] or a URL; hf:org/name, a ' +
      'checkpoint of somebody else’s.',
    'A download that was cut goes on where it was. HF_TOKEN, HF_ENDPOINT, MODELSCOPE_DOMAIN and the proxy variables are ' +
      'honoured. The path of the file is printed.',
  ].join('\n\n'),
  options: {
    from: {
      type: 'other',
      choices: HUB_NAMES,
      doc: 'The hub to take it from',
      default: 'huggingface',
      group: 'Source:',
    },
    convert: {
      type: 'string',
      doc: `Pull the original checkpoint and make this type of it: ${MADE_TYPES.join(', ')}`,
      group: 'Source:',
    },
    keepCheckpoint: {
      type: 'boolean',
      doc: 'Keep the checkpoint after --convert, for other types (--no-keep-checkpoint: remove it)',
      default: true,
      group: 'Source:',
    },
    output: { type: 'string', alias: 'o', doc: 'File or folder to write to', default: 'the cache', group: 'Output:' },
    force: { type: 'boolean', doc: 'Check what is there against its source, and replace it', group: 'Output:' },
    list: { type: 'boolean', doc: 'Show the catalog', group: 'Output:' },
    ...jsonFlag,
  },
  examples: [
    ['phi2 pull', 'Phi-2 in 4 bits, a good middle'],
    ['phi2 pull q8_0 -o phi-2.gguf', 'another type, to a place of your own'],
    ['phi2 pull --convert q5_k_m --from modelscope', 'from the original checkpoint'],
    ['phi2 pull --list', 'what there is'],
  ],
  async run({ values, words, context }) {
    const { convert, force, from, json = false, keepCheckpoint, list, output } = values
    if (words.length > 1) throw new UsageError(`phi2 pull takes one name, found ${words.length}: ${words.join(' ')}.`)
    if (list) {
      if (words.length > 0) throw new UsageError('--list shows the whole catalog: leave out the name.')
      await printCatalog(context, json)
      return 0
    }
    if (keepCheckpoint !== undefined && convert === undefined) {
      throw new UsageError('A checkpoint is what --convert works on: --keep-checkpoint goes with it.')
    }
    const result = await pullWithProgress(context.stderr, {
      model: words[0],
      convert: convert === undefined ? undefined : madeType(convert),
      from,
      to: output,
      keepCheckpoint,
      force,
      signal: context.signal,
    })
    if (json) await writeJson(context.stdout, result)
    else await write(context.stdout, `${result.path}\n`)
    return 0
  },
})

/** Pulls, with a line that shows how far it is, and says what came. */
export async function pullWithProgress(stderr: OutputStream, options: PullOptions): Promise<PullResult> {
  const { pull: run } = await import('../models/pull.js')
  const progress = new PullProgressLine(stderr)
  let result: PullResult
  try {
    result = await run({ ...options, onProgress: progress.update })
  } finally {
    progress.end()
  }
  const { bytes, cached, license, source, verified } = result
  if (stderr.isTTY) {
    const parts = [cached ? 'there already' : formatBytes(bytes), source, licenseText(license)]
    await writeNote(stderr, `phi2: ${parts.filter((part) => part !== '').join(', ')}`)
  }
  if (!verified && !cached) {
    await writeNote(
      stderr,
      `phi2: neither the catalog nor the hub knows a sha256 of ${source}; its size alone was checked.`,
    )
  }
  return result
}

/** What is to be known about a licence: the weights are under MIT, whatever older cards say. */
function licenseText(license: string | undefined): string {
  if (license === undefined) return ''
  if (license === 'mit') return 'MIT licence'
  return license === 'microsoft-research-license'
    ? 'MIT licence since January 2024 (the card of this copy is older and names the research licence)'
    : `licence ${license}`
}

async function printCatalog({ env, stdout }: CliContext, json: boolean): Promise<void> {
  const { statSync } = await import('node:fs')
  const { cacheFolder } = await import('../models/cache.js')
  const folder = cacheFolder(env)
  const isCached = (name: string) => statSync(namedModelPath(name, folder), { throwIfNoEntry: false }) !== undefined
  const { checkpoint, models } = catalog
  const rows = models.map((model) => ({ ...describe(model), cached: isCached(model.name) }))
  if (json) {
    const original = { name: checkpoint.name, bytes: checkpoint.bytes, license: checkpoint.license }
    return writeJson(stdout, [...rows, { ...original, source: checkpoint.sources.huggingface.repository }])
  }
  const table = formatTable([
    ['name', 'size', 'licence', 'cached', 'note'],
    ...rows.map(({ bytes, cached, name, notes }) => [name, size(bytes), 'MIT', cached ? 'yes' : '', notes.join('; ')]),
    [checkpoint.name, size(checkpoint.bytes), 'MIT', '', 'the original checkpoint, for --convert TYPE (f16, f32 …)'],
  ])
  return write(stdout, `${table}\n`)
}

function describe({ bytes, name, sources }: CatalogModel) {
  const [source] = sources
  const notes = [
    ...(name === DEFAULT_MODEL ? ['the default'] : []),
    ...(isLegacy(source) ? [`from ${source.made.slice(0, 4)}: its pre-tokenizer is put right at load`] : []),
  ]
  const { license, repository, revision, sha256 } = source
  return { name, bytes, license, repository, revision, file: source.path, ...(sha256 && { sha256 }), notes }
}

function size(bytes: number): string {
  return `${(bytes / 1e9).toFixed(2)} GB`
}
