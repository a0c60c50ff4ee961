import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { delimiter, dirname, join } from 'node:path'
import { test } from 'node:test'
import { packageRoot } from '../../src/package-root.js'
import { temporaryFolder } from '../helpers/model.js'

const root = packageRoot()

/** A checkout that was never built, with this one's dependencies. */
function freshCheckout(): string {
  const folder = join(temporaryFolder(), 'checkout')
  mkdirSync(join(folder, 'native'), { recursive: true })
  for (const name of ['package.json', 'scripts', 'src', 'native/llama.cpp.json', 'native/node-api.json']) {
    cpSync(join(root, name), join(folder, name), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

function build(folder: string, env: NodeJS.ProcessEnv): { status: number | null; stderr: string } {
  return spawnSync(process.execPath, ['--import', 'tsx', 'scripts/build.ts'], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, LLAMA_CPP_DIR: '', ...env },
  })
}

/** A PATH on which only these commands are found. */
function pathWith(...commands: string[]): string {
  const folder = temporaryFolder()
  for (const command of commands) {
    const from = (process.env.PATH ?? '')
      .split(delimiter)
      .map((place) => join(place, command))
      .find(existsSync)
    assert.ok(from, `${command} is needed for this test`)
    symlinkSync(from, join(folder, command))
  }
  return folder
}

const skip =
  !(process.env.PATH ?? '').split(delimiter).some((place) => existsSync(join(place, 'apt-get'))) && 'no apt-get here'

test('what is missing for a build is named in one error, with the command that installs it', { skip }, () => {
  const folder = freshCheckout()
  const { status, stderr } = build(folder, { PATH: pathWith('apt-get', 'tar', 'make') })
  assert.equal(status, 1)
  assert.equal(
    stderr,
    'phi2: Building needs cmake, git, a C++17 compiler (g++ or clang++), not found here. Install with `sudo apt-get install -y cmake git g++`.\n',
  )
})

for (const [missing, others] of [
  ['cmake', ['git', 'g++', 'gcc']],
  ['git', ['cmake', 'g++', 'gcc']],
] as const) {
  test(`a missing ${missing} alone is named`, { skip }, () => {
    const { status, stderr } = build(freshCheckout(), { PATH: pathWith('apt-get', 'tar', 'make', ...others) })
    assert.equal(status, 1)
    assert.equal(
      stderr,
      `phi2: Building needs ${missing}, not found here. Install with \`sudo apt-get install -y ${missing}\`.\n`,
    )
  })
}

test('without a network the error says what could not be fetched and what to do', () => {
  const { status, stderr } = build(freshCheckout(), {
    npm_config_registry: 'http://127.0.0.1:9/',
    npm_config_fetch_retries: '0',
    npm_config_cache: join(temporaryFolder(), 'cache'),
  })
  assert.equal(status, 1)
  assert.match(stderr, /^phi2: Could not fetch node-llama-cpp@3\.22\.1, which carries the engine's sources: /m)
  assert.match(stderr, /ECONNREFUSED/)
  assert.match(stderr, /LLAMA_CPP_DIR/)
})

test('a registry that serves another file is refused by the pinned integrity', async () => {
  const pack = temporaryFolder()
  writeFileSync(join(pack, 'package.json'), '{ "name": "node-llama-cpp", "version": "3.22.1" }')
  spawnSync('npm', ['pack', '--silent'], { cwd: pack })
  const tarball = readFileSync(join(pack, 'node-llama-cpp-3.22.1.tgz'))
  const server = createServer((request, response) => {
    if (request.url?.endsWith('.tgz')) return response.end(tarball)
    const { port } = server.address() as AddressInfo
    const manifest = {
      name: 'node-llama-cpp',
      version: '3.22.1',
      dist: { tarball: `http://127.0.0.1:${port}/x.tgz` },
    }
    response.setHeader('content-type', 'application/json')
    return response.end(
      JSON.stringify({ name: 'node-llama-cpp', 'dist-tags': { latest: '3.22.1' }, versions: { '3.22.1': manifest } }),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const child = spawn(process.execPath, ['--import', 'tsx', 'scripts/build.ts'], {
    cwd: freshCheckout(),
    env: {
      ...process.env,
      LLAMA_CPP_DIR: '',
      npm_config_registry: `http://127.0.0.1:${port}/`,
      npm_config_cache: join(temporaryFolder(), 'cache'),
    },
  })
  let stderr = ''
  child.stderr.on('data', (text) => {
    stderr += text
  })
  const status = await new Promise((resolve) => child.on('close', resolve))
  server.close()
  assert.equal(status, 1)
  assert.match(stderr, /The integrity of node-llama-cpp@3\.22\.1 is wrong: expected sha512-/)
})

test('LLAMA_CPP_DIR must hold llama.cpp', () => {
  const { status, stderr } = build(freshCheckout(), { LLAMA_CPP_DIR: dirname(root) })
  assert.equal(status, 1)
  assert.match(stderr, /no include\/llama\.h/)
})

test('a second build has nothing to do', () => {
  const addon = join(root, 'build', 'Release', 'phi2.node')
  const built = statSync(addon).mtimeMs
  const { status, stderr } = build(root, { LLAMA_CPP_DIR: process.env.LLAMA_CPP_DIR ?? '' })
  assert.equal(status, 0, stderr)
  assert.equal(statSync(addon).mtimeMs, built)
})
