import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { resolveModel, tinyModelPath } from '../../src/models/resolve.js'
import { packageRoot, realPath } from '../../src/package-root.js'

test('the embedded model is the default, and is found', () => {
  const model = resolveModel(undefined, {})
  assert.deepEqual([model.path, model.embedded], [tinyModelPath(), true])
  assert.ok(existsSync(model.path))
  assert.equal(resolveModel('tiny', { PHI2_MODEL: '/elsewhere' }).embedded, true)
})

test('PHI2_MODEL names the default, a given model goes before it', () => {
  const here = `${packageRoot()}/package.json`
  assert.equal(resolveModel(undefined, { PHI2_MODEL: here }).path, here)
  assert.equal(resolveModel(here, { PHI2_MODEL: '/nothing' }).path, here)
  assert.equal(resolveModel(undefined, { PHI2_MODEL: '' }).embedded, true)
})

test('a missing file is an error that says where the path came from', () => {
  assert.throws(() => resolveModel('/nothing.gguf', {}), { code: 'PHI2_MODEL_NOT_FOUND', message: /\/nothing\.gguf/ })
  assert.throws(() => resolveModel(undefined, { PHI2_MODEL: '/nothing.gguf' }), /PHI2_MODEL/)
})

test('inside an Electron archive the unpacked file is meant', () => {
  assert.equal(
    realPath('/app/resources/app.asar/node_modules/phi2/x.node'),
    '/app/resources/app.asar.unpacked/node_modules/phi2/x.node',
  )
  assert.equal(realPath('/app/my.asarium/x.node'), '/app/my.asarium/x.node')
})
