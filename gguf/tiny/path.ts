import { join } from 'node:path'
import { packageRoot } from '../../src/package-root.js'

/** The embedded model: phi-2-tiny in Q8_0. See its card, `gguf/tiny/README.md`. */
export const EMBEDDED_MODEL = join(packageRoot(), 'gguf', 'tiny', 'phi-2-tiny-q8_0.gguf')
