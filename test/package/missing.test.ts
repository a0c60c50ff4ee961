import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Consumer, tarballs } from './consumer.js'
import { startRegistry } from './registry.js'

const platform = `${process.platform}-${process.arch}`
const registry = await startRegistry(tarballs().platform)

async function failure(app: Consumer): Promise<string> {
  const { status, stdout, stderr } = await app.program(
    'without.mjs',
    `import { Phi2 } from 'phi2'
    await Phi2.load().catch((error) => console.log(error.code, error.message))`,
  )
  assert.equal(stderr, '')
  assert.equal(status, 0)
  return stdout
}

test('after an install with --omit=optional the error names the package and the remedies', async () => {
  const app = new Consumer()
  await app.npmInstall(registry, '--omit=optional')
  const message = await failure(app)
  assert.match(message, /^PHI2_BINDING_NOT_FOUND /)
  assert.match(message, new RegExp(`@phi2/${platform} is not installed`))
  assert.match(message, /npm install --include=optional/)
  assert.match(message, /npx phi2 build/)

  const doctor = await app.run('npx', ['phi2', 'doctor'])
  assert.equal(doctor.status, 1)
  assert.match(doctor.stderr, new RegExp(`@phi2/${platform} is not installed`))

  // What the message advises.
  await app.npmInstall(registry, '--include=optional')
  assert.equal(await failure(app), '')
})

test('node_modules of another platform are named as what they are', async () => {
  const app = new Consumer()
  await app.npmInstall(registry)
  const modules = join(app.folder, 'node_modules')
  const other = '@phi2/somewhere-else'
  const path = join(modules, 'phi2', 'package.json')
  const manifest = JSON.parse(readFileSync(path, 'utf8'))
  manifest.optionalDependencies[other] = manifest.version
  writeFileSync(path, JSON.stringify(manifest))
  renameSync(join(modules, '@phi2', platform), join(modules, other))
  const message = await failure(app)
  assert.match(message, /@phi2\/somewhere-else is:/)
  assert.match(message, new RegExp(`This Node is for ${platform}`))
})

test('libraries for another processor, and damaged ones, are an error that says so', async () => {
  const app = new Consumer()
  await app.npmInstall(registry)
  const addon = join(app.folder, 'node_modules', '@phi2', platform, 'phi2.node')
  writeFileSync(addon, 'this is no library')
  assert.match(await failure(app), /PHI2_BINDING_NOT_FOUND .*phi2\.node cannot be loaded/)
  rmSync(addon)
  mkdirSync(addon)
  assert.match(await failure(app), /PHI2_BINDING_NOT_FOUND/)
})
