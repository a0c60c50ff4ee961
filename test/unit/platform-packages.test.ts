import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { publishedManifest } from '../../scripts/packages.js'
import { platformManifest, targets } from '../../scripts/targets.js'
import { packageRoot, packageVersion } from '../../src/package-root.js'

test('every platform has its folder in npm/, and there is no other', () => {
  assert.deepEqual(readdirSync(join(packageRoot(), 'npm')).sort(), targets.map(({ name }) => name).sort())
})

for (const target of targets) {
  test(`@phi2/${target.name} has phi2's version, and says where it runs`, () => {
    const manifest = platformManifest(target)
    assert.equal(manifest.name, `@phi2/${target.name}`)
    assert.equal(manifest.version, packageVersion())
    assert.equal(`${manifest.os.join()}-${manifest.cpu.join()}`, target.name)
    assert.deepEqual(manifest.libc, target.baseline?.GLIBC ? ['glibc'] : undefined)
  })
}

test('the published package.json pins the platforms’ packages and has no script', () => {
  const published = publishedManifest({ name: 'phi2', version: '1.2.3', scripts: { prepare: 'x' } })
  const pins = Object.fromEntries(targets.map(({ name }) => [`@phi2/${name}`, '1.2.3']))
  assert.deepEqual(published, { name: 'phi2', version: '1.2.3', optionalDependencies: pins })
})
