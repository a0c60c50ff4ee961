import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, it, test } from 'node:test'
import { namedModelPath, refPath } from '../../src/models/cache.js'
import { parseRemoteRef } from '../../src/models/hub.js'
import { type ResolvedModel, resolveModel, tinyModelPath } from '../../src/models/resolve.js'
import { packageRoot, realPath } from '../../src/package-root.js'
import { temporaryFolder } from '../helpers/model.js'

const empty = { PHI2_CACHE: temporaryFolder() }

/** The file that is resolved; fails for one that would have to be downloaded. */
function resolved(model: string | undefined, environment: NodeJS.ProcessEnv = empty): ResolvedModel {
  const found = resolveModel(model, { ...empty, ...environment })
  assert.ok('bytes' in found, JSON.stringify(found))
  return found
}

test('the embedded model is the default, and is found', () => {
  const model = resolved(undefined)
  assert.deepEqual([model.path, model.embedded], [tinyModelPath(), true])
  assert.ok(existsSync(model.path))
  assert.equal(resolved('tiny', { PHI2_MODEL: '/elsewhere' }).embedded, true)
  assert.equal(resolved('TINY').embedded, true)
})

test('PHI2_MODEL names the default, a given model goes before it', () => {
  const here = `${packageRoot()}/package.json`
  assert.equal(resolved(undefined, { PHI2_MODEL: here }).path, here)
  assert.equal(resolved(here, { PHI2_MODEL: '/nothing' }).path, here)
  assert.equal(resolved(undefined, { PHI2_MODEL: '' }).embedded, true)
})

test('a missing file is an error that says where the path came from', () => {
  assert.throws(() => resolveModel('/nothing.gguf', empty), {
    code: 'PHI2_MODEL_NOT_FOUND',
    message: /\/nothing\.gguf/,
  })
  assert.throws(() => resolveModel(undefined, { ...empty, PHI2_MODEL: '/nothing.gguf' }), /PHI2_MODEL/)
})

describe('a name', () => {
  const folder = temporaryFolder()
  const environment = { PHI2_CACHE: folder }
  const before = process.cwd()
  beforeEach(() => process.chdir(folder))
  afterEach(() => process.chdir(before))

  const put = (path: string): string => {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, 'GGUF')
    return path
  }

  it('that is not in the cache is an error with the command that brings it, and its size', () => {
    assert.throws(() => resolveModel('q5_0', environment), {
      code: 'PHI2_MODEL_NOT_FOUND',
      message: /^q5_0 is not in the cache \(.*\)\. `phi2 pull q5_0` downloads it \(1\.9 GB\)\.$/,
    })
    assert.throws(() => resolveModel('F16', environment), {
      code: 'PHI2_MODEL_NOT_FOUND',
      message: /`phi2 pull --convert f16` makes it from microsoft\/phi-2 \(a download of 5\.6 GB\)/,
    })
  })

  it('that is none says which there are, and which was meant', () => {
    assert.throws(() => resolveModel('llama', empty), {
      code: 'PHI2_UNKNOWN_MODEL',
      message: /tiny, .*q4_k_m.*f16|f16.*q4_k_m/,
    })
    assert.throws(() => resolveModel('q4km', empty), { code: 'PHI2_UNKNOWN_MODEL', message: /Did you mean q4_k_m\?/ })
    assert.throws(() => resolveModel('Q4-K-M', empty), { message: /Did you mean q4_k_m\?/ })
  })

  it('of a repository says how a model is made of it', () => {
    for (const name of ['microsoft/phi-2', 'hf:org/name', 'modelscope:AI-ModelScope/phi-2']) {
      assert.throws(() => resolveModel(name, empty), {
        code: 'PHI2_UNKNOWN_MODEL',
        message: new RegExp(`\`phi2 pull ${name} --convert q4_k_m\``),
      })
    }
  })

  it('goes before a file of the same name, in either case; ./ means the file', () => {
    put(join(folder, 'q8_0'))
    assert.throws(() => resolveModel('q8_0', environment), /not in the cache/)
    assert.equal(resolved('./q8_0', environment).path, './q8_0')
    const path = put(namedModelPath('q8_0', folder))
    assert.equal(resolved('q8_0', environment).path, path)
    assert.equal(resolved('Q8_0', environment).path, path)
    assert.equal(resolved(undefined, { ...environment, PHI2_MODEL: 'q8_0' }).path, path)
  })

  it('is not needed when the cache has a Phi-2: Q4_K_M, else the best that is still fast', () => {
    const cache = { PHI2_CACHE: join(folder, 'best') }
    const path = (name: string) => namedModelPath(name, cache.PHI2_CACHE)
    put(refPath(parseRemoteRef('hf:org/fine-tune/x.gguf')!, cache.PHI2_CACHE))
    assert.equal(resolved(undefined, cache).embedded, true)
    for (const name of ['q2_k', 'f16', 'q4_0', 'q8_0', 'q6_k', 'q4_k_m']) {
      put(path(name))
      assert.deepEqual(resolved(undefined, cache), { path: path(name), bytes: 4, embedded: false })
    }
    put(path('q5_k_m'))
    assert.equal(resolved(undefined, cache).path, path('q4_k_m'))
    assert.equal(resolved(undefined, { ...cache, PHI2_MODEL: 'tiny' }).embedded, true)
  })

  it('that is a reference is a file in the cache, or is yet to be downloaded to there', () => {
    for (const reference of ['hf:org/name/a.gguf', 'modelscope:org/name/a.gguf@v1', 'https://host/a.gguf?key=1']) {
      const path = refPath(parseRemoteRef(reference)!, folder)
      assert.deepEqual(resolveModel(reference, environment), { reference, path })
      put(path)
      assert.equal(resolved(reference, environment).path, path)
    }
  })
})

test('inside an Electron archive the unpacked file is meant', () => {
  assert.equal(
    realPath('/app/resources/app.asar/node_modules/phi2/x.node'),
    '/app/resources/app.asar.unpacked/node_modules/phi2/x.node',
  )
  assert.equal(realPath('/app/my.asarium/x.node'), '/app/my.asarium/x.node')
})
