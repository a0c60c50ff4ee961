import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { targets } from '../../scripts/targets.js'
import { packageRoot, packageVersion } from '../../src/package-root.js'

const read = (path: string): string => readFileSync(join(packageRoot(), path), 'utf8')

test('the version stands in package.json; CHANGELOG.md has a section for it, and README.md names no other', () => {
  assert.ok(read('CHANGELOG.md').includes(`\n## [${packageVersion()}]`))
  for (const [, named] of read('README.md').matchAll(/\bversion (\d+\.\d+\.\d+)\b/g)) {
    assert.equal(named, packageVersion())
  }
})

test('the benchmark’s peer is the package that carries the pinned engine, in the same version', () => {
  const pin = JSON.parse(read('native/llama.cpp.json'))
  assert.equal(JSON.parse(read('bench/package.json')).dependencies[pin.package], pin.version)
})

test('the release builds and tests every platform that has a package', () => {
  const named = [...read('.github/workflows/release.yml').matchAll(/target: ([\w-]+)/g)].map(([, name]) => name!)
  assert.deepEqual(named.filter((name) => !name.endsWith('-cuda')).sort(), targets.map(({ name }) => name).sort())
})
