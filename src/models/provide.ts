import { type ResolvedModel, resolveModel } from './resolve.js'

type OnProgress = ((fraction: number) => void) | undefined

interface ProvideOptions {
  onProgress?: OnProgress
  signal?: AbortSignal | undefined
}

/** Of a load that has to download first, the share of the progress that the download gets. */
const DOWNLOAD_SHARE = 0.9

/**
 * The file to load, and a callback for the progress of loading it. A model that was given by a reference and is not in the
 * cache is downloaded first.
 * @throws {Phi2Error} as {@link resolveModel} and `pull`
 */
export async function provideModel(
  wanted: string | undefined,
  { onProgress, signal }: ProvideOptions,
): Promise<{ model: ResolvedModel; onProgress: OnProgress }> {
  const found = resolveModel(wanted)
  if (!('reference' in found)) return { model: found, onProgress }
  // Only who downloads loads the code for it.
  const { pull } = await import('./pull.js')
  let share = 0
  const { bytes, path } = await pull({
    model: found.reference,
    signal,
    // While the file is verified the count begins again.
    onProgress: ({ done, total }) => {
      share = Math.max(share, total ? (done / total) * DOWNLOAD_SHARE : 0)
      onProgress?.(share)
    },
  })
  return {
    model: { path, bytes, embedded: false },
    onProgress: onProgress && ((fraction) => onProgress(DOWNLOAD_SHARE + fraction * (1 - DOWNLOAD_SHARE))),
  }
}
