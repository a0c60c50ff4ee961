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
    const chosen = options.model !== undefined || Boolean(context.env.PHI2_MODEL)
    if (phi2.info.embedded && !chosen) await writeNote(context.stderr, EMBEDDED_NOTE)
    for (const warning of phi2.info.warnings) await writeNote(context.stderr, `phi2: ${warning}`)
    return await use(phi2)
  } finally {
    await phi2.close()
  }
}
