import type { Phi2 } from '../phi2.js'
import { modelOfMode } from '../placement/modes.js'
import type { LoadOptions } from '../types.js'
import type { CliContext } from './command.js'
import { writeNote } from './output.js'
import { ProgressLine } from './progress-line.js'

const EMBEDDED_NOTE =
  'phi2: this is phi-2-tiny, the embedded toy model. `phi2 pull` downloads the real Phi-2 (1.8 GB); another file is ' +
  'named by --model FILE or PHI2_MODEL.'

export interface LoadPlan {
  /** Ask at a terminal whether to download the real model when nobody chose one and none is there. @default false */
  offer?: boolean
  /** Say on standard error which plug-in of `phi2 gpu add` is of no use. @default true */
  notePlugins?: boolean
}

/** Loads the model, lends it to `use`, and closes it however that ends. The engine is imported only here. */
export async function withModel<T>(
  context: CliContext,
  options: LoadOptions,
  use: (phi2: Phi2) => Promise<T>,
  { notePlugins = true, offer = false }: LoadPlan = {},
): Promise<T> {
  // A mode has a model of its own, and may not be possible here at all: the load knows.
  const ofMode = options.model === undefined && modelOfMode(options.mode, context.env) !== undefined
  const model = ofMode ? undefined : await fetchModel(context, options.model, offer)
  const draft = options.draft === undefined ? undefined : await fetchModel(context, options.draft, false)
  const { Phi2 } = await import('../phi2.js')
  const progress = new ProgressLine(context.stderr, 'loading')
  let phi2: Phi2
  try {
    phi2 = await Phi2.load({
      ...options,
      ...(model === undefined ? {} : { model }),
      ...(draft === undefined ? {} : { draft }),
      signal: context.signal,
      onProgress: (fraction) => progress.update(fraction),
    })
  } finally {
    progress.end()
  }
  try {
    await noteModel(context, options.model, phi2.info)
    if (notePlugins && phi2.info.gpuLayers === 0 && !wantsCpu(options)) await noteIdlePlugins(context)
    return await use(phi2)
  } finally {
    await phi2.close()
  }
}

function wantsCpu({ device, gpuLayers, mode }: LoadOptions): boolean {
  return gpuLayers === 0 || device === 'cpu' || mode === 'fp32-cpu'
}

/** Who has installed a GPU backend should hear that the CPU computes all the same. */
async function noteIdlePlugins({ stderr }: CliContext): Promise<void> {
  const [{ backendAttempts }, { idlePlugins }] = await Promise.all([
    import('../load-addon.js'),
    import('../gpu/load.js'),
  ])
  for (const { plugin, reason } of idlePlugins(backendAttempts())) {
    const why = reason === '' ? 'it found no device' : reason
    await writeNote(stderr, `phi2: the plug-in ${plugin} is not used: ${why}. More: phi2 doctor`)
  }
}

/** Says what a user should know of the model, above all if it is the embedded one and nobody asked for that. */
export async function noteModel(
  context: CliContext,
  chosen: string | undefined,
  { embedded, warnings }: { embedded: boolean; warnings: readonly string[] },
): Promise<void> {
  if (embedded && chosen === undefined && !context.env.PHI2_MODEL) await writeNote(context.stderr, EMBEDDED_NOTE)
  for (const warning of warnings) await writeNote(context.stderr, `phi2: ${warning}`)
}

/**
 * Downloads what the load would have to download, with a line that shows how fast it comes, or what the user is offered.
 * Gives the file's path then, else the model that was asked for.
 */
async function fetchModel(context: CliContext, model: string | undefined, offer: boolean): Promise<string | undefined> {
  const { resolveModel } = await import('../models/resolve.js')
  const found = resolveModel(model, context.env)
  const pull = async (name?: string) => {
    const { pullWithProgress } = await import('./pull.js')
    return pullWithProgress(context.stderr, { model: name, signal: context.signal })
  }
  if ('reference' in found) return (await pull(found.reference)).path
  if (!found.embedded || model !== undefined || context.env.PHI2_MODEL || !offer) return model
  const { offerModel } = await import('./offer.js')
  return offerModel(context, pull)
}
