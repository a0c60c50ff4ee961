import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { cpus, loadavg, release, totalmem, type } from 'node:os'
import { join } from 'node:path'
import { synth } from '../gguf/index.js'
import { buildError } from '../src/builder/run.js'
import { enginePin } from '../src/gpu/pin.js'
import { tinyModelPath } from '../src/models/resolve.js'
import { loadAddon } from '../src/native.js'
import { npmCommand } from '../src/npm.js'
import { packageRoot, packageVersion } from '../src/package-root.js'
import type { ModelName } from './options.js'
import { peerVersion } from './peer.js'

/** Where models, tools and the reports of partial runs lie. */
export const WORK_FOLDER = join(packageRoot(), 'build', 'bench')

/** What models are called in the report, and their files. */
export type ModelFiles = Record<ModelName | 'tiny' | 'small', string>

/** The package as users get it: the command line is started from there. */
export function compilePackage(): void {
  const npm = npmCommand()
  const { status } = spawnSync(npm.command, [...npm.args, 'run', '--silent', 'compile'], {
    cwd: packageRoot(),
    shell: npm.command === 'npm.cmd',
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (status !== 0) throw buildError('`npm run compile` failed.')
}

/** Full-size models with random weights: they answer nonsense, and compute what a trained model of the type computes. */
export async function synthesizeModels(names: readonly ModelName[]): Promise<ModelFiles> {
  await mkdir(WORK_FOLDER, { recursive: true })
  const path = (name: string) => join(WORK_FOLDER, `phi-2-random-${name}.gguf`)
  for (const type of names) if (!existsSync(path(type))) await synth({ to: path(type), type })
  if (!existsSync(path('small'))) {
    await synth({ to: path('small'), type: 'q8_0', layers: 2, embeddingSize: 320, heads: 4 })
  }
  return { q4_k_m: path('q4_k_m'), q4_0: path('q4_0'), small: path('small'), tiny: tinyModelPath() }
}

export function machineFacts(threads: number): Record<string, string> {
  const { devices, backends } = loadAddon().backendInfo()
  const model = cpus()[0]?.model.trim() ?? 'unknown processor'
  const features = Object.entries(backends.find(({ name }) => name === 'CPU')?.features ?? {})
  const used = features.flatMap(([name, value]) => (value === '1' ? [name] : []))
  return {
    Machine: `${model}, ${cpus().length} processors, ${(totalmem() / 1e9).toFixed(0)} GB, ${type()} ${release()} ${process.arch}`,
    'Devices used': devices.map(({ name }) => name).join(', '),
    'CPU features used': used.join(' '),
    Threads: `${threads}, of every contender`,
    'Load average before': loadavg()[0]!.toFixed(2),
  }
}

export function versionFacts(): Record<string, string> {
  const pin = enginePin()
  const git = spawnSync('git', ['-C', packageRoot(), 'describe', '--always', '--dirty'], { encoding: 'utf8' })
  const commit = git.status === 0 ? ` (${git.stdout.trim()})` : ''
  return {
    phi2: `${packageVersion()}${commit}, its engine and llama.cpp's tools built from llama.cpp ${pin.tag} (${pin.commit}) with the same flags`,
    'node-llama-cpp': `${peerVersion()}, prebuilt, of the same llama.cpp`,
    'Node.js': process.version,
  }
}
