import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FILE_TYPES, type QuantizeType } from '../../gguf/file-types.js'
import { cacheFolder } from '../../src/models/cache.js'
import { catalog, DEFAULT_MODEL, findModel, isLegacy, PREFERENCE } from '../../src/models/catalog.js'
import { formatRef, locate, parseRemoteRef } from '../../src/models/hub.js'
import { MADE_TYPES, MODEL_NAMES, modelName } from '../../src/models/names.js'

describe('the catalog', () => {
  const sources = catalog.models.flatMap((model) => model.sources)

  it('has names that are types, each once, smallest first', () => {
    const names = catalog.models.map(({ name }) => name)
    assert.equal(new Set(names).size, names.length)
    for (const name of names) assert.ok(MODEL_NAMES.includes(name), name)
    const sizes = catalog.models.map(({ bytes }) => bytes)
    assert.deepEqual(
      sizes,
      [...sizes].sort((a, b) => a - b),
    )
  })

  it('has files at pinned commits, with hashes in hex, each file once', () => {
    for (const { revision, sha256 } of sources) {
      assert.match(revision, /^[0-9a-f]{40}$/)
      if (sha256 !== undefined) assert.match(sha256, /^[0-9a-f]{64}$/)
    }
    const refs = sources.map(formatRef)
    assert.equal(new Set(refs).size, refs.length)
    for (const ref of refs) assert.equal(formatRef(parseRemoteRef(ref, {})!), ref)
    // A file may lie in several repositories, but is of one type.
    const types = new Map<string, string>()
    for (const { name, sources } of catalog.models) {
      for (const { bytes, sha256 } of sources) {
        if (sha256 === undefined) continue
        const type = `${name} ${bytes}`
        assert.equal(types.get(sha256) ?? type, type)
        types.set(sha256, type)
      }
    }
  })

  it('has sizes that fit the types', () => {
    for (const { bytes, name, sources } of catalog.models) {
      const expected = (FILE_TYPES[name as QuantizeType].bits * 2_779_683_840) / 8
      // Types were mixed in another way in 2023.
      assert.ok(Math.abs(bytes / expected - 1) < 0.08, `${name}: ${bytes} instead of about ${expected}`)
      for (const source of sources) if (source.bytes !== undefined) assert.equal(source.bytes, bytes)
    }
  })

  it('has the file that a bare pull takes, with its exact size and hash', () => {
    const [source] = findModel(DEFAULT_MODEL)!.sources
    assert.equal(
      locate(source, { HF_TOKEN_PATH: '/none' }).url,
      'https://huggingface.co/TheBloke/phi-2-GGUF/resolve/5a454d977c6438bb9fb2df233c8ca70f21c87420/phi-2.Q4_K_M.gguf',
    )
    assert.equal(source.bytes, 1_789_239_136)
    assert.equal(source.sha256, '324356668fa5ba9f4135de348447bb2bbe2467eaa1b8fcfb53719de62fbd2499')
    assert.equal(isLegacy(source), true)
    assert.equal(isLegacy(findModel('q8_0')!.sources.at(-1)!), false)
  })

  it('has the original checkpoint, pinned, with what is known of its files', () => {
    const { files, sources, weights } = catalog.checkpoint
    assert.match(sources.huggingface.revision!, /^[0-9a-f]{40}$/)
    assert.equal(files['model-00001-of-00002.safetensors']!.bytes, 4_995_584_424)
    for (const { sha256 } of Object.values(files)) if (sha256 !== undefined) assert.match(sha256, /^[0-9a-f]{64}$/)
    for (const hash of weights) assert.match(hash, /^[0-9a-f]{64}$/)
    assert.ok(weights.includes(files['model-00001-of-00002.safetensors']!.sha256!))
  })

  it('has types of its preference that exist, each once, the default first', () => {
    assert.equal(PREFERENCE[0], DEFAULT_MODEL)
    assert.deepEqual([...PREFERENCE].sort(), [...MADE_TYPES].sort())
    for (const name of [...PREFERENCE, ...catalog.models.map((model) => model.name)]) {
      assert.equal(modelName(name.toUpperCase()), name)
    }
    assert.ok(!(MADE_TYPES as string[]).includes('iq1_s'))
  })
})

describe('the folder of the cache', () => {
  const at = (platform: string, environment: Record<string, string>) => cacheFolder(environment, platform)

  it('is where the system keeps such files', () => {
    assert.equal(at('linux', { HOME: '/home/me' }), '/home/me/.cache/phi2')
    assert.equal(at('linux', { HOME: '/home/me', XDG_CACHE_HOME: '/var/me' }), '/var/me/phi2')
    assert.equal(at('linux', { HOME: '/home/me', XDG_CACHE_HOME: 'relative' }), '/home/me/.cache/phi2')
    assert.equal(at('darwin', { HOME: '/Users/me' }), '/Users/me/Library/Caches/phi2')
    assert.equal(at('win32', { LOCALAPPDATA: '/local' }), '/local/phi2/Cache')
  })

  it('is PHI2_CACHE where that is set', () => {
    for (const platform of ['linux', 'darwin', 'win32']) {
      assert.equal(at(platform, { HOME: '/home/me', PHI2_CACHE: '/big disk/models' }), '/big disk/models')
    }
    assert.equal(at('linux', { PHI2_CACHE: 'here' }), `${process.cwd()}/here`)
    assert.equal(at('linux', { HOME: '/home/me', PHI2_CACHE: '' }), '/home/me/.cache/phi2')
  })
})
