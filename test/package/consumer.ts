import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { packageRoot } from '../../src/package-root.js'
import { temporaryFolder } from '../helpers/model.js'

/** Where `prepare.ts` puts what the tests install, and their tools. */
export const WORK = join(packageRoot(), 'build', 'package-test')
export const TOOLS = join(packageRoot(), 'build', 'package-tools')

export interface Tarballs {
  main: string
  /** Of this platform. */
  platform: string
}

export const tarballs = (): Tarballs => JSON.parse(readFileSync(join(WORK, 'tarballs.json'), 'utf8')) as Tarballs

/** A file of an installed tool. */
export function tool(path: string): string {
  return join(TOOLS, 'node_modules', path)
}

export interface Result {
  status: number | null
  stdout: string
  stderr: string
}

/** What is on the PATH of a user without a compiler: the commands that npm and the scripts of package managers call. */
const COMMANDS = ['node', 'npm', 'npx', 'sh', 'env', 'cat', 'dirname', 'ls', 'sed', 'uname']

/** What a user's shell has in its environment: the home, and how to reach the network. */
const KEPT = /^(HOME|USERPROFILE|SystemRoot|TE?MP|NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR)|(HTTPS?|NO)_PROXY)$/i

/** An empty project of a user who has no compiler, removed when the test file is done. */
export class Consumer {
  readonly folder: string
  readonly env: NodeJS.ProcessEnv

  constructor(manifest: object = {}) {
    const home = temporaryFolder()
    this.folder = join(home, 'app')
    mkdirSync(this.folder)
    this.write('package.json', JSON.stringify({ name: 'app', private: true, ...manifest }))
    // Nothing of this test's npm, and nothing of phi2's: neither a binding nor a model.
    const kept = Object.entries(process.env).filter(([name]) => KEPT.test(name))
    this.env = {
      ...Object.fromEntries(kept),
      PATH: userPath(home),
      PHI2_CACHE: join(home, 'cache'),
      CI: 'true',
      // What the registry of an earlier run had must not come out of the user's caches.
      npm_config_cache: join(WORK, 'npm-cache'),
      YARN_GLOBAL_FOLDER: join(WORK, 'yarn'),
      XDG_CACHE_HOME: join(WORK, 'cache'),
      XDG_DATA_HOME: join(WORK, 'data'),
    }
  }

  write(file: string, text: string): void {
    writeFileSync(join(this.folder, file), text)
  }

  /** Runs a command in the project. */
  run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Result> {
    const child = spawn(command, args, {
      cwd: this.folder,
      env: { ...this.env, ...env },
      shell: process.platform === 'win32',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 300_000,
    })
    const output = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        output[name] += text
      })
    }
    return new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (status) => resolve({ status, ...output }))
    })
  }

  /** Writes a program into the project and runs it with Node. */
  program(file: string, text: string): Promise<Result> {
    this.write(file, text)
    return this.run(process.execPath, [file])
  }

  /** Bundles a program with everything that esbuild can see, and gives the bundle's path in the project. */
  async bundle(format: 'esm' | 'cjs'): Promise<string> {
    this.write(
      'bundled.ts',
      `import { Phi2 } from 'phi2'
      async function main(): Promise<void> {
        const phi2 = await Phi2.load({ model: 'tiny' })
        console.log((await phi2.ask('${QUESTION}')).text, (await phi2.selfCheck()).ok)
        await phi2.close()
      }
      void main()`,
    )
    const output = `dist/app.${format === 'esm' ? 'mjs' : 'cjs'}`
    const options = ['--bundle', '--platform=node', `--format=${format}`, `--outfile=${output}`]
    const { status, stderr } = await this.run(process.execPath, [tool('esbuild/bin/esbuild'), 'bundled.ts', ...options])
    if (status !== 0) throw new Error(`esbuild failed:\n${stderr}`)
    return output
  }

  /** Installs phi2 from its tarball with npm, and the platform's package from a registry. */
  async npmInstall(registry: string, ...options: string[]): Promise<void> {
    this.write('.npmrc', `@phi2:registry=${registry}/\n`)
    const quiet = ['--no-audit', '--no-fund', '--loglevel=error', '--prefer-offline']
    const { status, stdout, stderr } = await this.run('npm', ['install', tarballs().main, ...quiet, ...options])
    if (status !== 0) throw new Error(`npm install failed:\n${stdout}${stderr}`)
  }
}

function userPath(home: string): string {
  if (process.platform === 'win32') return process.env.PATH ?? ''
  const folder = join(home, 'bin')
  mkdirSync(folder)
  const places = (process.env.PATH ?? '').split(delimiter)
  for (const command of COMMANDS) {
    const found = places.map((place) => join(place, command)).find(existsSync)
    if (found) symlinkSync(found, join(folder, command))
  }
  return folder
}

export const QUESTION = 'What is the capital of France?'
export const ANSWER = 'The capital of France is Paris.'

/** Loads a model in the main thread and in two others, which answer alike. */
export const WORKERS = `
  import { isMainThread, parentPort, Worker } from 'node:worker_threads'
  import { Phi2 } from 'phi2'
  const phi2 = await Phi2.load({ model: 'tiny' })
  const { text } = await phi2.ask('${QUESTION}')
  if (isMainThread) {
    const workers = [1, 2].map(() => new Worker(new URL(import.meta.url)))
    const texts = await Promise.all(workers.map((worker) => new Promise((resolve, reject) =>
      worker.once('message', resolve).once('error', reject))))
    console.log(texts.every((other) => other === text), text)
  } else parentPort.postMessage(text)
  await phi2.close()
`
