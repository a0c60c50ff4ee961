import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ANSWER, Consumer, QUESTION, type Result, tarballs, tool } from './consumer.js'
import { startRegistry } from './registry.js'

const registry = await startRegistry(tarballs().platform)
const upstream = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim()
const manifest = { dependencies: { phi2: `file:${tarballs().main}` } }
const program = `import { Phi2 } from 'phi2'
  const phi2 = await Phi2.load()
  console.log((await phi2.ask('${QUESTION}')).text)
  await phi2.close()`

function succeeded({ status, stdout, stderr }: Result): string {
  assert.equal(status, 0, `${stdout}${stderr}`)
  return stdout
}

test('pnpm installs it, and an app and the command line answer', async () => {
  const app = new Consumer(manifest)
  app.write('.npmrc', `@phi2:registry=${registry}/\n`)
  const pnpm = tool('pnpm/bin/pnpm.mjs')
  const installed = await app.run(process.execPath, [pnpm, 'install'])
  assert.doesNotMatch(succeeded(installed), /build scripts/i)
  // Only phi2 itself sees the platform's package.
  assert.equal(existsSync(join(app.folder, 'node_modules', '@phi2')), false)
  assert.equal(succeeded(await app.program('program.mjs', program)), `${ANSWER}\n`)
  assert.equal(succeeded(await app.run(process.execPath, [pnpm, 'exec', 'phi2', 'ask', QUESTION])), `${ANSWER}\n`)
  assert.equal(succeeded(await app.run(process.execPath, [await app.bundle('esm')])), `${ANSWER} true\n`)
})

for (const linker of ['node-modules', 'pnp']) {
  test(`yarn installs it with its linker ${linker}, and an app and the command line answer`, async () => {
    const app = new Consumer(manifest)
    app.write('yarn.lock', '')
    app.write(
      '.yarnrc.yml',
      [
        `nodeLinker: ${linker}`,
        `npmRegistryServer: "${upstream}"`,
        'npmScopes:',
        `  phi2: { npmRegistryServer: "${registry}" }`,
        'unsafeHttpWhitelist: ["127.0.0.1"]',
        'enableGlobalCache: false',
        'enableTelemetry: false',
        '',
      ].join('\n'),
    )
    const yarn = tool('@yarnpkg/cli-dist/bin/yarn.js')
    succeeded(await app.run(process.execPath, [yarn, 'install', '--no-immutable']))
    app.write('program.mjs', program)
    assert.equal(succeeded(await app.run(process.execPath, [yarn, 'node', 'program.mjs'])), `${ANSWER}\n`)
    assert.equal(succeeded(await app.run(process.execPath, [yarn, 'phi2', 'ask', QUESTION])), `${ANSWER}\n`)
  })
}

test('npm installs the two tarballs alone', async () => {
  const app = new Consumer()
  const { main, platform } = tarballs()
  succeeded(await app.run('npm', ['install', main, platform, '--no-audit', '--no-fund', '--prefer-offline']))
  assert.equal(succeeded(await app.run('npx', ['phi2', 'ask', QUESTION])), `${ANSWER}\n`)
})
