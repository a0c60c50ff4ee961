import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * A cache that holds nothing: for tests in which the default model is the embedded one, whatever the developer's own cache
 * has. Importing this is enough, for child processes as well.
 */
export const emptyCache = join(tmpdir(), 'phi2-test-empty-cache')

process.env.PHI2_CACHE = emptyCache
// Nor are the developer's token, endpoint and proxy any of a test's business.
const proxies = ['http_proxy', 'https_proxy', 'no_proxy'].flatMap((name) => [name, name.toUpperCase()])
for (const name of ['HF_TOKEN', 'HF_ENDPOINT', 'MODELSCOPE_DOMAIN', 'PHI2_MODEL', ...proxies]) delete process.env[name]
process.env.HF_TOKEN_PATH = join(emptyCache, 'token')
