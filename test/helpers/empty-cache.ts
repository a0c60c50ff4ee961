import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * A cache that holds nothing: for tests in which the default model is the embedded one, whatever the developer's own cache
 * has. Importing this is enough, for child processes as well.
 */
export const emptyCache = join(tmpdir(), 'phi2-test-empty-cache')

process.env.PHI2_CACHE = emptyCache
// Nor are the developer's token and endpoint any of a test's business.
for (const name of ['HF_TOKEN', 'HF_ENDPOINT', 'MODELSCOPE_DOMAIN', 'PHI2_MODEL']) delete process.env[name]
process.env.HF_TOKEN_PATH = join(emptyCache, 'token')
