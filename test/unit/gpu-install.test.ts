import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Phi2Error } from '../../src/errors.js'
import { libraryName } from '../../src/gpu/backends.js'
import { type AddProgress, addPlugin, removePlugins } from '../../src/gpu/install.js'
import type { EnginePin } from '../../src/gpu/pin.js'
import { BUILD_METADATA, listPlugins, whyUnfit } from '../../src/gpu/store.js'
import { temporaryFolder } from '../helpers/model.js'

const PACKAGE = '@node-llama-cpp/linux-x64-cuda'
const VERSION = '9.8.7'
const TAG = 'v1.2.3'
const content = Buffer.alloc(200_000, 'library')

/** A tarball as npm packs one, with files that are not wanted as well. */
function pack({ tag = TAG, gpu = 'cuda', library = libraryName('cuda') } = {}): Buffer {
  const folder = temporaryFolder()
  const bins = join(folder, 'bins', 'linux-x64-cuda')
  mkdirSync(bins, { recursive: true })
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: PACKAGE, version: VERSION }))
  writeFileSync(join(folder, 'LICENSE'), 'MIT')
  writeFileSync(join(bins, library), content)
  writeFileSync(join(bins, 'other.so'), 'not wanted')
  writeFileSync(join(bins, BUILD_METADATA), JSON.stringify({ buildOptions: { gpu, llamaCpp: { release: tag } } }))
  const name = execFileSync('npm', ['pack', '--silent'], { cwd: folder, encoding: 'utf8' }).trim()
  return readFileSync(join(folder, name))
}

function pinFor(tarball: Buffer, changes: Partial<EnginePin['plugins'][string][number]> = {}): EnginePin {
  const plugin = {
    name: 'cuda',
    backend: 'cuda' as const,
    package: PACKAGE,
    integrity: integrityOf(tarball),
    bytes: tarball.length,
    libraryBytes: content.length,
    folder: 'package/bins/linux-x64-cuda',
    ...changes,
  }
  return {
    package: 'node-llama-cpp',
    version: VERSION,
    integrity: '',
    bundle: '',
    tag: TAG,
    commit: '',
    plugins: { [`${process.platform}-${process.arch}`]: [plugin] },
  }
}

function integrityOf(bytes: Buffer): string {
  return `sha512-${createHash('sha512').update(bytes).digest('base64')}`
}

const good = pack()
let registry: Server
let served = good
let requests = 0

before(async () => {
  registry = createServer((request, response) => {
    requests += 1
    const { port } = registry.address() as AddressInfo
    if (request.url?.endsWith('.tgz')) return response.end(served)
    const dist = { tarball: `http://127.0.0.1:${port}/x-${requests}.tgz`, integrity: integrityOf(served) }
    response.setHeader('content-type', 'application/json')
    const manifest = { name: PACKAGE, version: VERSION, dist }
    return response.end(JSON.stringify({ name: PACKAGE, 'dist-tags': {}, versions: { [VERSION]: manifest } }))
  })
  await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve))
  process.env.npm_config_registry = `http://127.0.0.1:${(registry.address() as AddressInfo).port}/`
  process.env.npm_config_cache = temporaryFolder()
  process.env.npm_config_fetch_retries = '0'
})
after(() => registry.close())

function tarballFile(bytes: Buffer): string {
  const path = join(temporaryFolder(), 'plugin.tgz')
  writeFileSync(path, bytes)
  return path
}

/** Nothing but what is installed lies there: no half of it, and no lock. */
function left(cache: string): string[] {
  return existsSync(join(cache, 'gpu')) ? readdirSync(join(cache, 'gpu')) : []
}

test('a plug-in comes through npm with its settings, whole and nothing else', async () => {
  served = good
  const cache = temporaryFolder()
  const steps = new Set<string>()
  const onProgress = ({ done, step, total }: AddProgress) => {
    steps.add(step)
    assert.ok(done <= total)
  }
  const added = await addPlugin('cuda', { onProgress }, { cache, pin: pinFor(good) })
  assert.deepEqual(
    [added.cached, added.name, added.tag, added.version, added.bytes],
    [false, 'cuda', TAG, VERSION, content.length],
  )
  assert.deepEqual(
    readdirSync(added.path).sort(),
    [BUILD_METADATA, libraryName('cuda'), 'LICENSE', 'plugin.json'].sort(),
  )
  assert.deepEqual(readFileSync(join(added.path, added.library)), content)
  assert.deepEqual(left(cache), [`linux-x64-cuda@${VERSION}`])
  assert.deepEqual([...steps].slice(-1), ['unpack'])

  const before = requests
  const again = await addPlugin('cuda', {}, { cache, pin: pinFor(good) })
  assert.deepEqual([again.cached, again.path, requests], [true, added.path, before])
  assert.equal(whyUnfit(listPlugins(cache)[0]!, TAG), undefined)
})

test('a tarball from elsewhere is as good, if it is the pinned one', async () => {
  const cache = temporaryFolder()
  const before = requests
  const added = await addPlugin('cuda', { from: tarballFile(good) }, { cache, pin: pinFor(good) })
  assert.deepEqual(readFileSync(join(added.path, added.library)), content)
  assert.equal(requests, before)
})

for (const [what, bytes, pin, message] of [
  ['another file', pack({ tag: 'v1.2.4' }), pinFor(good), /is not the file it should be/],
  ['one for another llama.cpp', pack({ tag: 'v1.2.4' }), undefined, /built from llama\.cpp v1\.2\.3.*v1\.2\.4/],
  ['one for another GPU', pack({ gpu: 'vulkan' }), undefined, /for cuda.*for vulkan/],
  ['one without the library', pack({ library: 'libother.so' }), undefined, /no such file/],
  ['one that is cut short', good.subarray(0, good.length / 2), pinFor(good), /cannot be unpacked/],
  ['no tarball', Buffer.from('nothing'), pinFor(good), /cannot be unpacked/],
] as const) {
  test(`${what} is refused, and leaves nothing behind`, async () => {
    const cache = temporaryFolder()
    const from = tarballFile(Buffer.from(bytes))
    await assert.rejects(
      addPlugin('cuda', { from }, { cache, pin: pin ?? pinFor(Buffer.from(bytes)) }),
      (error: unknown) => {
        assert.ok(error instanceof Phi2Error, String(error))
        assert.equal(error.code, 'PHI2_CHECKSUM_MISMATCH')
        assert.match(error.message, message)
        return true
      },
    )
    assert.deepEqual(left(cache), [])
  })
}

test('a registry that serves another file is refused by the pinned hash', async () => {
  const cache = temporaryFolder()
  served = pack({ tag: 'v6.6.6' })
  // npm has the right one in its cache by now.
  process.env.npm_config_cache = temporaryFolder()
  await assert.rejects(addPlugin('cuda', {}, { cache, pin: pinFor(good) }), /The registry served another file/)
  assert.deepEqual(left(cache), [])
})

test('a failed or aborted installation leaves the older one in place', async () => {
  const cache = temporaryFolder()
  const { path } = await addPlugin('cuda', { from: tarballFile(good) }, { cache, pin: pinFor(good) })
  const wrong = tarballFile(pack({ tag: 'v6.6.6' }))
  await assert.rejects(addPlugin('cuda', { from: wrong, force: true }, { cache, pin: pinFor(good) }))
  const abort = new AbortController()
  const reason = new Error('enough')
  const aborted = addPlugin(
    'cuda',
    { force: true, from: tarballFile(good), signal: abort.signal, onProgress: () => abort.abort(reason) },
    { cache, pin: pinFor(good) },
  )
  await assert.rejects(aborted, (error) => error === reason)
  assert.deepEqual(
    listPlugins(cache).map((plugin) => plugin.path),
    [path],
  )
  assert.deepEqual(left(cache), [`linux-x64-cuda@${VERSION}`])
})

test('without a network the error says what could not be fetched', async () => {
  const cache = temporaryFolder()
  const { npm_config_registry } = process.env
  process.env.npm_config_registry = 'http://127.0.0.1:9/'
  await assert.rejects(addPlugin('cuda', {}, { cache, pin: pinFor(good) }), (error: unknown) => {
    assert.ok(error instanceof Phi2Error)
    assert.equal(error.code, 'PHI2_DOWNLOAD_FAILED')
    assert.match(error.message, /Could not fetch @node-llama-cpp\/linux-x64-cuda@9\.8\.7: .*ECONNREFUSED/)
    return true
  })
  process.env.npm_config_registry = npm_config_registry
  assert.deepEqual(left(cache), [])
})

test('two installations at once do the work once', async () => {
  served = good
  const cache = temporaryFolder()
  const both = await Promise.all(
    [1, 2].map(() => addPlugin('cuda', { from: tarballFile(good) }, { cache, pin: pinFor(good) })),
  )
  assert.deepEqual(both.map(({ cached }) => cached).sort(), [false, true])
})

test('a name that there is not is refused with those that there are', async () => {
  await assert.rejects(addPlugin('rocm', {}, { cache: temporaryFolder(), pin: pinFor(good) }), /cuda.*"rocm"/)
  const pin = { ...pinFor(good), plugins: {} }
  await assert.rejects(addPlugin('cuda', {}, { cache: temporaryFolder(), pin }), /no GPU plug-ins for/)
})

test('rm removes by name or all, and refuses what is not there', async () => {
  const cache = temporaryFolder()
  assert.deepEqual(await removePlugins('all', cache), [])
  const { path } = await addPlugin('cuda', { from: tarballFile(good) }, { cache, pin: pinFor(good) })
  await assert.rejects(removePlugins(['vulkan'], cache), /vulkan is not installed; installed: cuda/)
  assert.deepEqual(
    (await removePlugins(['cuda'], cache)).map((plugin) => plugin.path),
    [path],
  )
  assert.deepEqual(left(cache), [])
})
