import type { PluginBackend } from './pin.js'

/** A kind of GPU that the engine can use. */
export interface GpuBackend {
  name: 'cuda' | 'vulkan' | 'metal'
  /** What the engine's registry calls it. */
  registry: string
  platforms: readonly string[]
  /** How it is built from source. */
  build: string
}

export const GPU_BACKENDS: readonly GpuBackend[] = [
  { name: 'cuda', registry: 'CUDA', platforms: ['linux', 'win32'], build: '`npx phi2 build --cuda`' },
  { name: 'vulkan', registry: 'Vulkan', platforms: ['linux', 'win32'], build: '`npx phi2 build --vulkan`' },
  { name: 'metal', registry: 'MTL', platforms: ['darwin'], build: '`npm run build -- -DGGML_METAL=ON`' },
]

export function backendsHere(): readonly GpuBackend[] {
  return GPU_BACKENDS.filter(({ platforms }) => platforms.includes(process.platform))
}

/** The file that the engine looks for. On macOS, too, it ends in `.so`. */
export function libraryName(backend: PluginBackend | GpuBackend['name']): string {
  return process.platform === 'win32' ? `ggml-${backend}.dll` : `libggml-${backend}.so`
}
