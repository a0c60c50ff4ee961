import { BuildProgressLine } from './build-progress.js'
import { type CliContext, defineCommand } from './command.js'
import { UsageError } from './errors.js'
import { jsonFlag } from './options.js'
import { write, writeJson, writeNote } from './output.js'

export const build = defineCommand({
  name: 'build',
  usage: 'build [options]',
  summary: 'Compile the native addon here, where no package of binaries fits',
  notes: [
    'From this package alone: the sources of llama.cpp (35 MB) come through npm. It takes some minutes, and needs cmake, git ' +
      'and a C++17 compiler; --cuda also NVIDIA’s toolkit, --vulkan the Vulkan SDK. What was compiled must compute right ' +
      'numbers before it is put into the cache, where every installation of this version finds it, before any package ' +
      'of binaries. A build that was stopped goes on where it was.',
    'CC and CXX together name the compiler; CMAKE_CUDA_ARCHITECTURES, CMAKE_BUILD_PARALLEL_LEVEL and LLAMA_CPP_DIR are ' +
      'honoured. The path of the addon is printed.',
  ].join('\n\n'),
  options: {
    cuda: { type: 'boolean', doc: 'The backend for NVIDIA GPUs too, for those in this machine', group: 'Backends:' },
    vulkan: { type: 'boolean', doc: 'The backend for Vulkan too', group: 'Backends:' },
    portable: {
      type: 'boolean',
      doc: 'All CPU variants, chosen at run time, instead of this machine’s features',
      group: 'Backends:',
    },
    remove: { type: 'boolean', doc: 'Remove what was built for this version', group: 'Output:' },
    verbose: { type: 'boolean', doc: 'Show what CMake and the compilers print', group: 'Output:' },
    ...jsonFlag,
  },
  examples: [
    ['phi2 build', 'for the CPU'],
    ['phi2 build --cuda', 'for the GPUs of NVIDIA in this machine'],
    ['phi2 build --remove', 'back to the package of binaries'],
  ],
  async run({ values, words, context }) {
    const { remove = false, json = false, verbose = false, ...backends } = values
    if (words.length > 0) throw new UsageError(`phi2 build takes no argument, found ${words[0]}.`)
    if (remove) {
      const extra = Object.keys(values).find((name) => !['remove', 'json'].includes(name))
      if (extra !== undefined) throw new UsageError(`--remove builds nothing: leave out --${extra}.`)
      return removeBuilt(context, json)
    }
    const { buildIntoCache } = await import('../builder/install.js')
    const progress = new BuildProgressLine(context.stderr, verbose)
    const result = await buildIntoCache({
      ...backends,
      signal: context.signal,
      onProgress: progress.update,
      ...(verbose && { onLine: (line: string) => context.stderr.write(`${line}\n`) }),
    }).finally(() => progress.end())
    if (json) await writeJson(context.stdout, result)
    else await write(context.stdout, `${result.path}\n`)
    if (context.stderr.isTTY) {
      await writeNote(context.stderr, `phi2: built in ${result.seconds} s; devices: ${result.devices.join(', ')}`)
    }
    if (result.hiddenBy !== undefined) {
      await writeNote(context.stderr, `phi2: what was built is not used, because ${result.hiddenBy} comes before it.`)
    }
    return 0
  },
})

async function removeBuilt({ signal, stdout, stderr }: CliContext, json: boolean): Promise<number> {
  const { removeBuild } = await import('../builder/install.js')
  const removed = await removeBuild(signal)
  if (json) await writeJson(stdout, { removed })
  else if (!removed) await writeNote(stderr, 'phi2: nothing was built for this version.')
  return 0
}
