import { quantizeType } from '../../gguf/file-types.js'
import type { CompareTypesOptions } from '../bench/compare-types.js'
import type { TuneOptions } from '../bench/tune.js'
import type { MadeType } from '../models/names.js'
import { readProfiles, removeProfiles, tunedPath } from '../tuned/store.js'
import { commaList, readSizes } from './bench.js'
import { type CliContext, type CliOptions, defineCommand, type Values } from './command.js'
import { UsageError } from './errors.js'
import { noteModel } from './load.js'
import { jsonFlag, kebab, loadFlags, pick } from './options.js'
import { write, writeJson, writeNote } from './output.js'
import { ProgressLine } from './progress-line.js'
import { readTextFile } from './reading.js'
import { formatProfiles, formatTuning, formatTypes } from './tune-output.js'

const { model, gpuLayers, device, kvType } = loadFlags

const measuringFlags = {
  prompt: { type: 'strings', doc: 'Tokens of the prompt that is measured', default: 512, group: 'Measuring:' },
  predict: { type: 'strings', doc: 'Tokens of the answer', default: 128, group: 'Measuring:' },
  repetitions: { type: 'integer', doc: 'Rounds (default: 3; 5 with --types)', group: 'Measuring:' },
  model,
  gpuLayers,
  device,
} as const satisfies CliOptions

const tuneFlags = {
  dryRun: { type: 'boolean', doc: 'Measure, but store nothing', group: 'Profiles:' },
  ...measuringFlags,
  kvType,
} as const satisfies CliOptions

const typesFlags = {
  perplexity: {
    type: 'string',
    doc: 'Measure on this text what each loses; --model is the F16 file that they are made from',
    group: 'Quantizations:',
  },
  chunks: { type: 'integer', doc: 'Chunks of 512 tokens read of the text at most', group: 'Quantizations:' },
  ...measuringFlags,
} as const satisfies CliOptions

const flags = {
  show: { type: 'boolean', doc: 'Print the stored profiles', group: 'Profiles:' },
  reset: { type: 'boolean', doc: 'Remove the stored profiles', group: 'Profiles:' },
  types: {
    type: 'boolean',
    doc: 'Compare quantizations: those named (q4_0,q8_0), or some that are common',
    group: 'Quantizations:',
  },
  ...tuneFlags,
  ...typesFlags,
  ...jsonFlag,
} as const satisfies CliOptions

type TuneValues = Values<typeof flags>

/** The ways to call it, and what each has a use for. */
const MODES = { tune: tuneFlags, types: typesFlags, show: {}, reset: {} } as const satisfies Record<string, CliOptions>

type Mode = keyof typeof MODES

export const tune = defineCommand({
  name: 'tune',
  usage: 'tune [options] [model|types…]',
  summary: 'Find the fastest options for a model on this machine, or the fastest quantization',
  notes:
    'Measures how soon an answer comes with different threads and batches, and with flash attention or without. What is ' +
    'best is stored, and used from then on for models of this type and size, as far as options are not given; --no-tuned ' +
    'leaves it out. Better is what was sooner in every round, and by more than 2 % in the middle one; else the defaults ' +
    'stay. With --types, files of several quantizations are made, measured and removed, one at a time: of random weights, ' +
    'or of the F16 file --model. All this takes some minutes, in which nothing else should run.',
  options: flags,
  examples: [
    ['phi2 tune', 'the default model'],
    ['phi2 tune q4_0 --prompt 1500 --predict 50', 'long prompts, short answers'],
    ['phi2 tune --types q4_0,q4_k_m,q8_0', 'which of these is fastest here?'],
    ['phi2 tune --types --model phi-2-f16.gguf --perplexity a.txt', 'and what does it lose?'],
  ],
  async run({ values, words, context }) {
    switch (modeOf(values)) {
      case 'show':
        refuseWords(words)
        return showProfiles(values, context)
      case 'reset':
        refuseWords(words)
        return resetProfiles(values, context)
      case 'types':
        return compare(values, words, context)
      case 'tune':
        return findOptions(values, words, context)
    }
  },
})

/** @throws {UsageError} when options of different modes are mixed */
function modeOf(values: TuneValues): Mode {
  const chosen = (['show', 'reset', 'types'] as const).filter((mode) => values[mode] === true)
  const [mode = 'tune', second] = chosen
  if (second !== undefined) throw new UsageError(`--${mode} and --${second} do not go together.`)
  const known = Object.keys({ ...MODES[mode], ...jsonFlag })
  const odd = Object.entries(values).find(([name, value]) => value !== false && name !== mode && !known.includes(name))
  if (odd === undefined) return mode
  const hint = odd[0] in typesFlags ? ' It belongs to --types.' : ''
  throw new UsageError(`phi2 tune${mode === 'tune' ? '' : ` --${mode}`} has no use for --${kebab(odd[0])}.${hint}`)
}

function refuseWords(words: readonly string[]): void {
  if (words.length > 0) throw new UsageError(`Expected no argument here, found ${words[0]}.`)
}

async function findOptions(values: TuneValues, words: readonly string[], context: CliContext): Promise<number> {
  const { json = false, model: flag } = values
  const [word, extra] = words
  if (extra !== undefined) throw new UsageError(`phi2 tune takes one model, found ${extra} as well.`)
  if (word !== undefined && flag !== undefined) {
    throw new UsageError('Name the model as the argument or with --model, not both.')
  }
  const chosen = word ?? flag
  const { tune } = await import('../bench/tune.js')
  const result = await withProgress(context, 'measuring', (onProgress) =>
    tune({
      ...(pick(values, tuneFlags) as Omit<TuneOptions, SizeName>),
      ...sizesOf(values),
      ...(chosen !== undefined && { model: chosen }),
      signal: context.signal,
      onProgress,
    }),
  )
  await noteModel(context, chosen, result.info)
  await (json ? writeJson(context.stdout, result) : write(context.stdout, `${formatTuning(result)}\n`))
  return 0
}

async function compare(values: TuneValues, words: readonly string[], context: CliContext): Promise<number> {
  const { json = false, perplexity, chunks } = values
  const { perplexity: _, ...typeOptions } = typesFlags
  const types = words.flatMap(commaList).map((word) => quantizeType(word) as MadeType)
  if (perplexity !== undefined && values.model === undefined) {
    throw new UsageError('--perplexity needs --model, the F16 file to quantize: random weights predict nothing.')
  }
  if (chunks !== undefined && perplexity === undefined) throw new UsageError('--chunks needs --perplexity.')
  const text = perplexity === undefined ? undefined : await readTextFile([perplexity], context, 'tune')
  const { compareTypes } = await import('../bench/compare-types.js')
  const result = await withProgress(context, 'comparing', (onProgress) =>
    compareTypes({
      ...(pick(values, typeOptions) as Omit<CompareTypesOptions, SizeName>),
      ...sizesOf(values),
      ...(types.length > 0 && { types }),
      ...(text !== undefined && { text }),
      signal: context.signal,
      onProgress,
    }),
  )
  await (json ? writeJson(context.stdout, result) : write(context.stdout, `${formatTypes(result)}\n`))
  return 0
}

async function showProfiles({ json = false }: TuneValues, context: CliContext): Promise<number> {
  const profiles = readProfiles()
  if (json) await writeJson(context.stdout, { path: tunedPath(), profiles })
  else if (profiles.length > 0) await write(context.stdout, `${formatProfiles(profiles)}\n`)
  else await writeNote(context.stderr, `phi2: no profile is stored (${tunedPath()}). \`phi2 tune\` makes one.`)
  return 0
}

async function resetProfiles({ json = false }: TuneValues, context: CliContext): Promise<number> {
  const removed = await removeProfiles()
  if (json) await writeJson(context.stdout, { path: tunedPath(), removed })
  else await writeNote(context.stderr, `phi2: ${removed} ${removed === 1 ? 'profile' : 'profiles'} removed.`)
  return 0
}

type SizeName = 'prompt' | 'predict'

/** `phi2 bench` takes several of each. @throws {UsageError} */
function sizesOf(values: TuneValues): { [Name in SizeName]?: number } {
  const one = (name: SizeName) => {
    const sizes = readSizes(name, values[name])[name] ?? []
    if (sizes.length > 1) throw new UsageError(`--${name}: expected one number, found ${sizes.length}.`)
    return sizes
  }
  const [[prompt], [predict]] = [one('prompt'), one('predict')]
  return { ...(prompt !== undefined && { prompt }), ...(predict !== undefined && { predict }) }
}

async function withProgress<T>(
  context: CliContext,
  label: string,
  run: (onProgress: (fraction: number, detail: string) => void) => Promise<T>,
): Promise<T> {
  const progress = new ProgressLine(context.stderr, label)
  try {
    return await run((fraction, detail) => progress.update(fraction, detail))
  } finally {
    progress.end()
  }
}
