import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { namedModelPath, readProvenance, refPath } from '../../src/models/cache.js'
import { type CacheEntry, listCache, removeFromCache } from '../../src/models/cache-list.js'
import type { Catalog, CatalogSource } from '../../src/models/catalog.js'
import { acquireLock } from '../../src/models/download/lock.js'
import { parseRemoteRef } from '../../src/models/hub.js'
import { type PullOptions, type PullProgress, type PullResult, pullFrom } from '../../src/models/pull.js'
import { resolveModel } from '../../src/models/resolve.js'
import { COMMIT, type HubOptions, hubServer, sha256 } from '../helpers/hub-server.js'
import { temporaryFolder } from '../helpers/model.js'

const TOKEN = 'hf_very_secret'
const REVISION = 'a'.repeat(40)
const gguf = randomBytes(300_000)
const other = randomBytes(200_000)

const shard = (size: number) => randomBytes(size)
const checkpoint: Record<string, Buffer> = {
  'config.json': Buffer.from('{}'),
  'tokenizer.json': Buffer.from('{"model":{}}'),
  'README.md': Buffer.from('---\nlicense: mit\n---\n'),
  'model.safetensors.index.json': Buffer.from(
    JSON.stringify({
      metadata: { total_size: 150_000 },
      weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' },
    }),
  ),
  'model-00001-of-00002.safetensors': shard(100_000),
  'model-00002-of-00002.safetensors': shard(50_000),
}
const content = { 'phi-2.gguf': gguf, 'sub/other file.gguf': other, ...checkpoint }

const source = (path: string, given: Partial<CatalogSource> = {}): CatalogSource => ({
  ...{ hub: 'huggingface', repository: 'org/name', path, revision: REVISION, license: 'mit', made: '2024-01' },
  ...given,
})

function catalogOf(...sources: [CatalogSource, ...CatalogSource[]]): Catalog {
  return {
    models: [{ name: 'q4_k_m', bytes: gguf.length, sources }],
    checkpoint: {
      name: 'microsoft/phi-2',
      license: 'mit',
      bytes: 150_000,
      sources: {
        huggingface: { hub: 'huggingface', repository: 'microsoft/phi-2', revision: REVISION },
        modelscope: { hub: 'modelscope', repository: 'AI-ModelScope/phi-2' },
      },
      files: {
        'config.json': { bytes: 2, exact: true },
        'model-00001-of-00002.safetensors': {
          bytes: 100_000,
          exact: true,
          sha256: sha256(checkpoint['model-00001-of-00002.safetensors']!),
        },
      },
      weights: [],
    },
  }
}

/** A hub, an empty cache, and a pull that knows of nothing else. */
async function workplace(options: HubOptions & { files?: Record<string, Buffer> } = {}) {
  const hub = await hubServer(options.files ?? content, options)
  after(() => hub[Symbol.asyncDispose]())
  const folder = temporaryFolder()
  const environment = { PHI2_CACHE: folder, HF_ENDPOINT: hub.url, MODELSCOPE_DOMAIN: hub.otherUrl, HF_TOKEN: TOKEN }
  const known = catalogOf(source('phi-2.gguf', { bytes: gguf.length, sha256: sha256(gguf) }))
  const pull = (given: PullOptions = {}, catalog = known) => pullFrom(given, { catalog, environment })
  return { hub, folder, environment, pull }
}

/** Everything that a folder holds, as text. */
function textsBelow(folder: string): string {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.json'))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n')
}

describe('a pull by name', () => {
  it('brings the file of the catalog into the cache, verified, and only once', async () => {
    const { folder, hub, pull } = await workplace()
    const seen: PullProgress[] = []
    const result = await pull({ onProgress: (progress) => seen.push(progress) })
    const expected: PullResult = {
      path: namedModelPath('q4_k_m', folder),
      bytes: gguf.length,
      sha256: sha256(gguf),
      verified: true,
      source: `hf:org/name/phi-2.gguf@${REVISION}`,
      license: 'mit',
      cached: false,
    }
    assert.deepEqual(result, expected)
    assert.deepEqual(readFileSync(result.path), gguf)
    const last = seen.at(-1)!
    assert.deepEqual([last.file, last.done, last.total], ['phi-2-q4_k_m.gguf', gguf.length, gguf.length])
    const { date, ...provenance } = (await readProvenance(result.path))!
    assert.ok(Math.abs(Date.parse(date) - Date.now()) < 60_000)
    assert.deepEqual(provenance, {
      source: expected.source,
      repository: 'org/name',
      revision: COMMIT,
      bytes: gguf.length,
      sha256: sha256(gguf),
      verified: true,
      license: 'mit',
    })
    const asked = hub.requests.length
    assert.deepEqual(await pull({ model: 'Q4_K_M' }), { ...expected, cached: true })
    assert.equal(hub.requests.length, asked)
  })

  it('shows the token to the hub alone', async () => {
    const { folder, hub, pull } = await workplace()
    const result = await pull()
    for (const { authorization, server } of hub.requests) {
      assert.equal(authorization, server === 'hub' ? `Bearer ${TOKEN}` : undefined)
    }
    assert.ok(hub.requests.some(({ server }) => server === 'storage'))
    for (const text of [JSON.stringify(result), textsBelow(folder)]) assert.doesNotMatch(text, /secret/)
  })

  it('refuses a file with another hash and leaves nothing', async () => {
    const { folder, pull } = await workplace()
    const wrong = catalogOf(source('phi-2.gguf', { sha256: 'b'.repeat(64) }))
    await assert.rejects(pull({}, wrong), { code: 'PHI2_CHECKSUM_MISMATCH' })
    assert.deepEqual(await listCache(folder), [])
  })

  it('turns to the next source when one is gone', async () => {
    const { pull } = await workplace()
    const gone = catalogOf(source('gone.gguf'), source('phi-2.gguf', { license: 'other' }))
    const { license, source: from, verified } = await pull({}, gone)
    assert.deepEqual([from, license, verified], [`hf:org/name/phi-2.gguf@${REVISION}`, 'other', true])
    await assert.rejects(pull({ force: true }, catalogOf(source('gone.gguf'))), {
      code: 'PHI2_DOWNLOAD_FAILED',
      status: 404,
    })
  })

  it('says what to do for a type that no file has', async () => {
    const { pull } = await workplace()
    await assert.rejects(pull({ model: 'f16' }), { code: 'PHI2_UNKNOWN_MODEL', message: /`phi2 pull --convert f16`/ })
    await assert.rejects(pull({ from: 'modelscope' }), {
      code: 'PHI2_UNKNOWN_MODEL',
      message: /on ModelScope.*`phi2 pull --convert q4_k_m --from modelscope`/,
    })
    await assert.rejects(pull({ model: 'llama' }), { code: 'PHI2_UNKNOWN_MODEL', message: /q4_k_m.*hf:org/ })
    await assert.rejects(pull({ model: 'tiny' }), { code: 'PHI2_UNKNOWN_MODEL', message: /part of this package/ })
  })

  it('checks what is there against its source when forced to', async () => {
    const { pull } = await workplace()
    const { path } = await pull()
    const damaged = Buffer.from(gguf)
    damaged[1000]! ^= 1
    writeFileSync(path, damaged)
    assert.equal((await pull()).cached, true)
    assert.equal((await pull({ force: true })).verified, true)
    assert.deepEqual(readFileSync(path), gguf)
  })
})

describe('a pull by reference', () => {
  it('is verified by the hash that the hub tells', async () => {
    const { folder, pull } = await workplace()
    const model = 'hf:someone/else/sub/other file.gguf'
    const result = await pull({ model })
    assert.deepEqual(result, {
      path: refPath(parseRemoteRef(model)!, folder),
      bytes: other.length,
      sha256: sha256(other),
      verified: true,
      source: model,
      license: undefined,
      cached: false,
    })
    assert.equal((await readProvenance(result.path))?.revision, COMMIT)
    assert.equal((await pull({ model })).cached, true)
  })

  it('of a file in the catalog uses what the catalog knows', async () => {
    const { pull } = await workplace()
    const wrong = catalogOf(source('phi-2.gguf', { sha256: 'b'.repeat(64) }))
    await assert.rejects(pull({ model: `hf:org/name/phi-2.gguf@${REVISION}` }, wrong), {
      code: 'PHI2_CHECKSUM_MISMATCH',
    })
    assert.equal((await pull({ model: 'hf:org/name/phi-2.gguf@main' }, wrong)).verified, true)
  })

  it('from ModelScope is verified by the hash in its list, and by its size where there is none', async () => {
    const { hub, pull } = await workplace()
    const { source: from, verified } = await pull({ model: 'modelscope:org/name/phi-2.gguf' })
    assert.deepEqual([from, verified], ['modelscope:org/name/phi-2.gguf', true])
    assert.ok(hub.requests.every(({ authorization }) => authorization === undefined))

    const silent = await workplace({ status: (path) => (path.endsWith('/repo/files') ? 404 : undefined) })
    const unlisted = await silent.pull({ model: 'modelscope:org/name/phi-2.gguf' })
    assert.deepEqual([unlisted.bytes, unlisted.verified], [gguf.length, false])
  })

  it('by its address keeps the query to itself', async () => {
    const { environment, folder, hub, pull } = await workplace()
    const model = `${hub.url}/org/name/raw/phi-2.gguf?key=secret`
    await assert.rejects(pull({ model }), (error: Error) => !error.message.includes('secret'))
    const { path, source: from } = await pull({ model: `${hub.url}/o/n/resolve/main/phi-2.gguf?key=secret` })
    assert.equal(from, 'hf:o/n/phi-2.gguf@main')
    assert.ok(path.startsWith(environment.PHI2_CACHE))
    assert.doesNotMatch(textsBelow(folder), /secret/)
  })

  it('that is refused says so, without the token', async () => {
    const { pull } = await workplace({ status: () => 401 })
    await assert.rejects(pull({ model: 'hf:org/gated/a.gguf' }), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'PHI2_ACCESS_DENIED')
      assert.match(error.message, /token/)
      assert.doesNotMatch(`${error.message}${error.stack}${JSON.stringify(error)}`, /secret/)
      return true
    })
  })

  it('goes where the caller wants it, and never over something else', async () => {
    const { folder, pull } = await workplace()
    const elsewhere = temporaryFolder()
    const file = join(elsewhere, 'new', 'mine.gguf')
    assert.equal((await pull({ to: file })).path, file)
    assert.deepEqual(readdirSync(join(elsewhere, 'new')), ['mine.gguf'])
    assert.deepEqual(await pull({ to: file }).then(({ cached, verified }) => [cached, verified]), [true, true])
    assert.equal((await pull({ to: elsewhere })).path, join(elsewhere, 'phi-2-q4_k_m.gguf'))

    writeFileSync(file, 'a novel')
    await assert.rejects(pull({ to: file }), { code: 'PHI2_IO', message: /exists already.*--force/ })
    await assert.rejects(pull({ model: 'hf:a/b/phi-2.gguf', to: file }), { code: 'PHI2_IO' })
    assert.equal(readFileSync(file, 'utf8'), 'a novel')
    await pull({ to: file, force: true })
    assert.deepEqual(readFileSync(file), gguf)
    assert.deepEqual(await listCache(folder), [])
  })
})

describe('a pull of a checkpoint', () => {
  const weights = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']

  it('brings its files, small ones first, with a note of where they come from', async () => {
    const { folder, hub, pull } = await workplace()
    const seen: PullProgress[] = []
    const result = await pull({ model: 'microsoft/phi-2', onProgress: (progress) => seen.push(progress) })
    const path = join(folder, 'checkpoints', 'hf', 'microsoft', 'phi-2', REVISION)
    const bytes = Object.values(checkpoint).reduce((sum, { length }) => sum + length, 0)
    assert.deepEqual(result, {
      path,
      bytes,
      sha256: undefined,
      verified: true,
      source: `hf:microsoft/phi-2@${REVISION}`,
      license: 'mit',
      cached: false,
    })
    for (const [name, content] of Object.entries(checkpoint)) assert.deepEqual(readFileSync(join(path, name)), content)
    assert.deepEqual(hub.files.slice(-2).sort(), weights)
    const record = JSON.parse(readFileSync(join(path, 'phi2-source.json'), 'utf8'))
    assert.deepEqual(
      [record.repository, record.revision, record.url, record.complete],
      ['microsoft/phi-2', COMMIT, `${hub.url}/microsoft/phi-2`, true],
    )
    assert.ok(seen.every(({ done, total }) => done <= total!))
    assert.deepEqual([seen.at(-1)!.done, seen.at(-1)!.total], [bytes, bytes])
    const asked = hub.requests.length
    assert.deepEqual(await pull({ model: 'microsoft/phi-2' }), { ...result, cached: true })
    assert.equal(hub.requests.length, asked)
  })

  it('stays with the commit of its first file', async () => {
    const { hub, pull } = await workplace()
    await pull({ model: 'hf:org/name' })
    const paths = hub.requests.filter(({ server }) => server === 'hub').map(({ path }) => path)
    assert.match(paths[0]!, /\/resolve\/main\/config\.json$/)
    for (const path of paths.slice(1)) assert.match(path, new RegExp(`/resolve/(main/config.json|${COMMIT}/)`))
  })

  it('that was broken off goes on with what is missing', async () => {
    let broken = true
    const { hub, pull } = await workplace({ status: (path) => (broken && path.includes('00002-of') ? 404 : undefined) })
    const model = 'hf:org/name@main'
    await assert.rejects(pull({ model }), { code: 'PHI2_DOWNLOAD_FAILED' })
    broken = false
    const before = hub.requests.length
    const { path } = await pull({ model })
    const asked = hub.requests.slice(before).filter(({ server }) => server === 'hub')
    const names = new Set(asked.map(({ path }) => path.split('/').at(-1)))
    for (const request of asked) assert.match(request.path, new RegExp(`/resolve/${COMMIT}/`))
    assert.equal(names.has('model-00002-of-00002.safetensors'), true)
    assert.equal(names.has('model-00001-of-00002.safetensors') || names.has('config.json'), false)

    rmSync(join(path, 'model-00002-of-00002.safetensors'))
    const again = hub.requests.length
    assert.equal((await pull({ model })).cached, false)
    const paths = hub.requests.slice(again).map((request) => request.path)
    assert.equal(
      paths.some((one) => one.includes('00002-of')),
      true,
    )
    assert.equal(
      paths.some((one) => one.includes('00001-of')),
      false,
    )
  })

  it('checks files that are there and not in its record', async () => {
    const { pull } = await workplace()
    const model = 'microsoft/phi-2'
    const { path } = await pull({ model })
    const name = 'model-00001-of-00002.safetensors'
    for (const bytes of [checkpoint[name]!, randomBytes(100_000)]) {
      // As a kill between the two leaves it.
      rmSync(join(path, 'phi2-source.json'))
      writeFileSync(join(path, name), bytes)
      assert.equal((await pull({ model })).verified, true)
      assert.deepEqual(readFileSync(join(path, name)), checkpoint[name])
    }
  })

  it('takes a single file of weights, and from ModelScope what its list has', async () => {
    const files = { 'config.json': Buffer.from('{}'), 'model.safetensors': shard(20_000) }
    const { folder, hub, pull } = await workplace({ files })
    assert.equal((await pull({ model: 'microsoft/phi-2', from: 'modelscope' })).verified, true)
    assert.ok(!hub.files.includes('tokenizer.json'))
    const [entry] = await listCache(folder)
    assert.deepEqual(
      [entry!.name, entry!.kind, entry!.complete],
      ['modelscope:AI-ModelScope/phi-2', 'checkpoint', true],
    )
  })

  it('does not let an index write elsewhere', async () => {
    for (const name of ['../../evil.safetensors', '/tmp/evil.safetensors', 'a/b.safetensors', 'config.json', 7]) {
      const index = Buffer.from(JSON.stringify({ weight_map: { a: name } }))
      const { pull } = await workplace({ files: { ...content, 'model.safetensors.index.json': index } })
      await assert.rejects(pull({ model: 'hf:org/name' }), { code: 'PHI2_INVALID_CHECKPOINT' })
    }
  })

  it('without config.json is none', async () => {
    const { pull } = await workplace({ files: { 'phi-2.gguf': gguf } })
    await assert.rejects(pull({ model: 'hf:org/name' }), { code: 'PHI2_DOWNLOAD_FAILED', message: /config\.json.*404/ })
  })
})

describe('options of a pull', () => {
  it('that are wrong or contradict each other are refused before any request', async () => {
    const { hub, pull } = await workplace()
    for (const [options, message] of [
      [null, /options/],
      [{ signal: 7 }, /signal/],
      [{ onProgress: 'x' }, /onProgress/],
      [{ model: '' }, /model/],
      [{ model: 7 }, /model/],
      [{ from: 'github' }, /huggingface, modelscope/],
      [{ to: '' }, /\bto\b/],
      [{ force: 'yes' }, /force/],
      [{ keepCheckpoint: 1 }, /keepCheckpoint/],
      [{ convert: 'q9' }, /q4_k_m/],
      [{ convert: 'iq1_s' }, /importance matrix/],
      [{ convert: 'tq1_0' }, /garbage/],
      [{ model: 'q4_k_m', convert: 'q8_0' }, /GGUF file.*microsoft\/phi-2/],
      [{ model: 'hf:a/b/c.gguf', convert: 'q8_0' }, /GGUF file/],
      [{ model: 'hf:a/b/c.gguf', from: 'modelscope' }, /leave out from/],
      [{ model: 'https://host/c.gguf', from: 'huggingface' }, /leave out from/],
    ] as unknown as [PullOptions, RegExp][]) {
      await assert.rejects(pull(options), { code: 'PHI2_INVALID_OPTION', message }, JSON.stringify(options))
    }
    assert.equal(hub.requests.length, 0)
  })

  it('a cache that cannot be made is an error, and to look into it finds nothing', async () => {
    const { environment } = await workplace()
    const file = join(temporaryFolder(), 'file')
    writeFileSync(file, '')
    const unusable = { ...environment, PHI2_CACHE: join(file, 'cache') }
    for (const options of [{}, { model: 'microsoft/phi-2' }, { convert: 'q8_0' }] as PullOptions[]) {
      const pull = pullFrom(options, { catalog: catalogOf(source('phi-2.gguf')), environment: unusable })
      await assert.rejects(pull, { code: 'PHI2_IO' })
    }
    assert.deepEqual(await listCache(unusable.PHI2_CACHE), [])
    assert.equal('embedded' in resolveModel(undefined, unusable), true)
  })

  it('an abort rejects with the signal’s reason, and what came is resumed', async () => {
    const { folder, pull } = await workplace({ delay: 400 })
    const reason = new Error('enough')
    await assert.rejects(pull({ signal: AbortSignal.abort(reason) }), reason)
    const controller = new AbortController()
    const onProgress = () => controller.abort(reason)
    await assert.rejects(pull({ signal: controller.signal, onProgress }), reason)
    assert.equal(existsSync(namedModelPath('q4_k_m', folder)), false)
    assert.equal((await pull()).verified, true)
  })
})

describe('the cache', () => {
  const names = (entries: readonly CacheEntry[]) => entries.map(({ name }) => name)

  it('lists what was pulled, by the names that load it, and removes it by them', async () => {
    const { folder, hub, pull } = await workplace()
    await pull()
    await pull({ model: 'hf:org/name/sub/other file.gguf' })
    await pull({ model: 'hf:org/name/phi-2.gguf@refs/pr/1' })
    await pull({ model: 'microsoft/phi-2' })
    await pull({ model: `${hub.otherUrl}/org/name/repo?FilePath=phi-2.gguf` })
    const url = `${hub.otherUrl}/org/name/repo`
    const entries = await listCache(folder)
    assert.deepEqual(
      names(entries).sort(),
      [
        `hf:org/name/phi-2.gguf@refs/pr/1`,
        'hf:org/name/sub/other file.gguf',
        url,
        // one of the catalog, by the name that a pull takes
        `hf:microsoft/phi-2@${REVISION}`,
        'q4_k_m',
      ].sort(),
    )
    const named = entries.find(({ name }) => name === 'q4_k_m')!
    assert.ok(named.complete && named.bytes > gguf.length && named.bytes < gguf.length + 2000)
    assert.equal(named.sha256, sha256(gguf))

    assert.deepEqual(names(await removeFromCache('Q4_K_M', folder)), ['q4_k_m'])
    await assert.rejects(removeFromCache('q4_k_m', folder), { code: 'PHI2_MODEL_NOT_FOUND', message: /It has hf:/ })
    const rest = await listCache(folder)
    assert.equal(rest.length, 4)
    assert.equal(
      (
        await removeFromCache(
          rest.map(({ path }) => path),
          folder,
        )
      ).length,
      4,
    )
    assert.deepEqual(await listCache(folder), [])
    assert.deepEqual(readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort(), ['checkpoints', 'models'])
  })

  it('removes the parts of a download that was cut, and what a killed process left', async () => {
    const folder = temporaryFolder()
    const path = namedModelPath('q8_0', folder)
    mkdirSync(join(folder, 'models'))
    const rubbish = ['.partial', '.partial.json', '.12345678.partial', '.12345678.partial.abcdef12.partial']
    for (const end of rubbish) writeFileSync(`${path}${end}`, 'x'.repeat(1000))
    const [entry, ...more] = await listCache(folder)
    assert.deepEqual([entry!.name, entry!.complete, more], ['q8_0', false, []])
    await removeFromCache('q8_0', folder)
    assert.deepEqual(readdirSync(join(folder, 'models')), [])
  })

  it('knows nothing of files that are not its own, and does not touch them', async () => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'models', 'mine'), { recursive: true })
    mkdirSync(join(folder, 'checkpoints', 'hf', 'a', 'b', 'c'), { recursive: true })
    const mine = ['models/a.gguf', 'models/mine/b.gguf', 'checkpoints/hf/a/b/c/config.json', 'notes.txt']
    for (const name of mine) writeFileSync(join(folder, name), 'mine')
    assert.deepEqual(await listCache(folder), [])
    for (const name of [...mine, ...mine.map((one) => join(folder, one)), '..', '/', folder]) {
      await assert.rejects(removeFromCache(name, folder), { code: 'PHI2_MODEL_NOT_FOUND' })
    }
    for (const odd of ['', null, 5, [null], ['']] as string[]) {
      await assert.rejects(removeFromCache(odd, folder), { code: 'PHI2_INVALID_OPTION' })
    }
    for (const name of mine) assert.ok(existsSync(join(folder, name)))
  })

  it('keeps a download that is running, and then removes nothing else either', async () => {
    const { folder, pull } = await workplace()
    const { path } = await pull()
    await pull({ model: 'hf:org/name/sub/other file.gguf' })
    const lock = await acquireLock(`${path}.lock`)
    const both = names(await listCache(folder))
    await assert.rejects(removeFromCache(both, folder), { code: 'PHI2_BUSY', message: /q4_k_m is being downloaded/ })
    assert.deepEqual(names(await listCache(folder)), both)
    await lock.release()
    await removeFromCache(both, folder)
    assert.deepEqual(await listCache(folder), [])
  })

  it('of a folder that does not exist is empty', async () => {
    assert.deepEqual(await listCache(join(temporaryFolder(), 'none')), [])
  })
})
