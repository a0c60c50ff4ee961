// Builds the addon and the engine into build/Release. Called by `npm run build`, which `npm ci` runs through `prepare`.
//   --debug      unoptimized, into build/Debug
//   --portable   every CPU variant, chosen at run time, instead of this machine's features
//   --cuda       the CUDA backend too (needs nvcc and cuBLAS; CMAKE_CUDA_ARCHITECTURES is heeded)
//   --verbose    CMake's own output
//   -DNAME=VALUE passed on to CMake
import { buildNative, runScript } from './native-build.js'

function cmakeDefinitions(args: readonly string[]): string[] {
  const definitions = args.filter((arg) => arg.startsWith('-D')).map((arg) => arg.slice(2))
  if (args.includes('--portable')) definitions.push('PHI2_PORTABLE=ON')
  if (args.includes('--cuda')) {
    definitions.push('GGML_CUDA=ON')
    const architectures = process.env.CMAKE_CUDA_ARCHITECTURES
    if (architectures) definitions.push(`CMAKE_CUDA_ARCHITECTURES=${architectures}`)
  }
  return definitions
}

const args = process.argv.slice(2)
runScript(() =>
  buildNative({
    definitions: cmakeDefinitions(args),
    debug: args.includes('--debug'),
    verbose: args.includes('--verbose'),
  }),
)
