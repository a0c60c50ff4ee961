import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from '../../src/package-root.js'

const DRIVER = '/usr/share/vulkan/icd.d/lvp_icd.x86_64.json'

/** Where `.ci/run` puts the plug-in of the package that carries the engine. */
const PLUGIN = join(
  packageRoot(),
  'build/test-vulkan/node_modules/@node-llama-cpp/linux-x64-vulkan/bins/linux-x64-vulkan/libggml-vulkan.so',
)

/**
 * Makes the engine find Mesa's software device, twice, when it is loaded in this process. Gives the reason where that is not
 * possible.
 */
export function softwareVulkan(): string | undefined {
  const plugin = process.env.PHI2_TEST_VULKAN ?? PLUGIN
  const driver = process.env.VK_DRIVER_FILES ?? DRIVER
  const missing = [driver, plugin].filter((path) => !existsSync(path))
  if (missing.length > 0 && process.env.CI) throw new Error(`missing: ${missing.join(', ')}; .ci/run installs them`)
  if (missing.length > 0) return `not there: ${missing.join(', ')}; .ci/run shows how to install them`
  process.env.VK_DRIVER_FILES = driver
  process.env.VK_ICD_FILENAMES = driver // the older name
  process.env.GGML_VK_VISIBLE_DEVICES = '0,0' // software devices are used only when they are named
  process.env.GGML_BACKEND_PATH = plugin
  return undefined
}
