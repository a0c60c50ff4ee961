import type { Phi2 } from '../phi2.js'
import type { LoadOptions } from '../types.js'
import type { CliContext } from './command.js'
import { writeNote } from './output.js'
import { ProgressLine } from './progress-line.js'

const EMBEDDED_NOTE =
  'phi2: this is phi-2-tiny, the embedded toy model. For the real Phi-2 download phi-2.Q4_K_M.gguf (1.8 GB) from the ' +
  'Hugging Face repository TheBloke/phi-2-GGUF and pass --model FILE or set PHI2_MODEL.'

/** Loads the model, lends it to `use`, and closes it however that ends. The engine is imported only here. */
export async function withModel<T>(
  context: CliContext,
  options: LoadOptions,
  use: (phi2: Phi2) => Promise<T>,
): Promise<T> {
  const { Phi2 } = await import('../phi2.js')
  const progress = new ProgressLine(context.stderr, 'loading')
  let phi2: Phi2
  try {
    phi2 = await Phi2.load({
      ...options,
      signal: context.signal,
      onProgress: (fraction) => progress.update(fraction),
    })
  } finally {
    progress.end()
  }
  try {
    await noteModel(context, options.model, phi2.info)
    return await use(phi2)
  } finally {
    await phi2.close()
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
