// Builds the addon and the engine into build/Release. Called by `npm run build`, which `npm ci` runs through `prepare`.
//   --debug      unoptimized, into build/Debug
//   --portable   every CPU variant, chosen at run time, instead of this machine's features
//   --cuda       the CUDA backend too (needs nvcc and cuBLAS; CMAKE_CUDA_ARCHITECTURES and CUDAHOSTCXX are heeded)
//   --vulkan     the Vulkan backend too (needs the Vulkan SDK)
//   --out=FOLDER into FOLDER/Release instead of build/Release
//   --verbose    shows what CMake and the compilers print
//   -DNAME=VALUE passed on to CMake
import { join, resolve } from 'node:path'
import { compileAddon } from '../src/builder/compile.js'
import { BuildProgressLine } from '../src/cli/build-progress.js'
import { packageRoot } from '../src/package-root.js'
import { runScript } from './run-script.js'

const { stderr } = process
const args = process.argv.slice(2)
const verbose = args.includes('--verbose')
const out = args.find((arg) => arg.startsWith('--out='))?.slice('--out='.length)
const sources = join(packageRoot(), 'build')

await runScript(async (signal) => {
  const progress = new BuildProgressLine(stderr, verbose)
  const started = Date.now()
  await compileAddon({
    folder: out === undefined ? sources : resolve(out),
    sources,
    debug: args.includes('--debug'),
    portable: args.includes('--portable'),
    cuda: args.includes('--cuda'),
    vulkan: args.includes('--vulkan'),
    definitions: args.filter((arg) => arg.startsWith('-D')).map((arg) => arg.slice(2)),
    signal,
    onProgress: progress.update,
    onLine: verbose ? (line) => stderr.write(`${line}\n`) : undefined,
  }).finally(() => progress.end())
  stderr.write(`phi2: native addon ready after ${Math.round((Date.now() - started) / 1000)} s\n`)
})
