import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { program } from '../../src/cli/commands.js'
import { packageRoot } from '../../src/package-root.js'
import { temporaryFolder } from '../helpers/model.js'
import '../helpers/empty-cache.js'

/** Addresses of the modules that a process imports, within the package's folder or of packages and Node itself. */
async function imported(...args: string[]): Promise<string[]> {
  const log = join(temporaryFolder(), 'modules')
  const hook = join(packageRoot(), 'test', 'helpers', 'module-log.mjs')
  const running = promisify(execFile)(process.execPath, ['--import', 'tsx', '--import', hook, ...args], {
    cwd: packageRoot(),
    env: { ...process.env, MODULE_LOG: log },
  })
  running.child.stdin?.end()
  await running
  return readFileSync(log, 'utf8').trim().split('\n').map(shorten)
}

function shorten(url: string): string {
  return url.replace(/^.*\/node_modules\//, 'package:').replace(/^file:.*\/(?=(src|gguf)\/)/, '')
}

const main = join('src', 'cli', 'main.ts')

const names = program.commands.map(({ name }) => name)

/** What takes time to load and an answer does not need. */
const needless = [
  new RegExp(`^src/cli/(${[...names, 'help', 'offer', 'repl'].join('|')})\\.ts$`),
  /^src\/models\/(?!(cache|catalog|hub|hub-token|names|provide|resolve)\.ts)/,
  /^node:(http|https|http2|net|tls)$/,
  /^gguf\/(?!(atomic-file|checks|file-types)\.ts)/,
  /^package:(?!yargs-parser\/)/,
]

function assertLean(modules: readonly string[], ...needed: string[]): void {
  const found = modules.filter((module) => needless.some((kind) => kind.test(module)))
  assert.deepEqual(found.sort(), needed)
}

test('a question loads its own command only, no network, no help and no toolkit', async () => {
  const modules = await imported(main, '--model', 'tiny', '-n', '1', 'Hello')
  assert.ok(modules.includes('src/phi2.ts'))
  assertLean(modules, 'src/cli/ask.ts')
})

test('a chat loads no more than it needs', async () => {
  const modules = await imported(main, 'chat', '--model', 'tiny')
  assert.ok(modules.includes('src/phi2.ts'))
  assertLean(modules, 'src/cli/chat.ts', 'src/cli/repl.ts')
})

test('the version is told without loading what answers', async () => {
  const modules = await imported(main, '--version')
  assertLean(modules, 'src/cli/ask.ts')
  assert.deepEqual(
    modules.filter((module) => /^src\/(phi2|native)\.ts|^src\/models\//.test(module)),
    [],
  )
})

test('the library is loaded without network, command line and toolkit', async () => {
  const modules = await imported(join('src', 'index.ts'))
  assert.ok(modules.includes('src/phi2.ts'))
  assertLean(modules)
  assert.deepEqual(
    modules.filter((module) => module.startsWith('src/cli/')),
    [],
  )
})
