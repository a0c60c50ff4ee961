import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { targets } from '../../scripts/targets.js'
import { temporaryFolder } from '../helpers/model.js'
import { tarballs, tool } from './consumer.js'

const folder = temporaryFolder()

function unpack(tarball: string): { files: string[]; manifest: Record<string, unknown> } {
  const { stdout } = spawnSync('tar', ['-xvzf', tarball, '-C', folder], { encoding: 'utf8' })
  return {
    files: stdout
      .split('\n')
      .filter(Boolean)
      .map((file) => file.replace('package/', '')),
    manifest: JSON.parse(readFileSync(join(folder, 'package', 'package.json'), 'utf8')),
  }
}

test('nothing runs when the packages are installed', () => {
  for (const tarball of Object.values(tarballs())) {
    const { files, manifest } = unpack(tarball)
    assert.equal(manifest.scripts, undefined)
    // Package managers take one for an install script.
    assert.deepEqual(
      files.filter((file) => file.endsWith('.gyp')),
      [],
    )
  }
})

test('phi2 asks for the platforms’ packages in exactly its own version', () => {
  const { manifest } = unpack(tarballs().main)
  const pins = Object.fromEntries(targets.map(({ name }) => [`@phi2/${name}`, manifest.version]))
  assert.deepEqual(manifest.optionalDependencies, pins)
})

test('the embedded model and the licence travel with the package, tests and sources of documents do not', () => {
  const { files } = unpack(tarballs().main)
  for (const name of [
    'gguf/tiny/phi-2-tiny-q8_0.gguf',
    'gguf/tiny/self-check.json',
    'LICENSE',
    'README.md',
    'dist/src/cli/main.js',
  ])
    assert.ok(files.includes(name), name)
  assert.deepEqual(
    files.filter((file) => /^(test|bench|npm|build)\//.test(file)),
    [],
  )
})

test('the platform’s package is below 15 MB', () => {
  assert.ok(statSync(tarballs().platform).size < 15e6)
})

test('publint finds nothing', () => {
  for (const tarball of Object.values(tarballs())) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [tool('publint/src/cli.js'), tarball, '--strict'], {
      encoding: 'utf8',
    })
    assert.equal(status, 0, `${stdout}${stderr}`)
    assert.doesNotMatch(stdout, /^(Suggestions|Warnings|Errors):/m)
  }
})

test('arethetypeswrong finds nothing; the package is for ES modules, which CommonJS can require in every supported Node', () => {
  const attw = tool('@arethetypeswrong/cli/dist/index.js')
  const options = [tarballs().main, '--profile', 'esm-only', '--no-emoji', '--format', 'ascii']
  const { status, stdout, stderr } = spawnSync(process.execPath, [attw, ...options], { encoding: 'utf8' })
  assert.equal(status, 0, `${stdout}${stderr}`)
})
