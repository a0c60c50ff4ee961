import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { quantize } from '../../gguf/index.js'
import { tinyModelPath } from '../../src/models/resolve.js'
import { loadAddon } from '../../src/native.js'
import { Phi2 } from '../../src/phi2.js'
import type { DeviceShare, LoadOptions } from '../../src/types.js'
import { hostileServer } from '../helpers/hostile-server.js'
import { loadTiny, temporaryFolder } from '../helpers/model.js'
import { writeSparseModel } from '../helpers/sparse-model.js'

const folder = temporaryFolder()
const f16 = join(folder, 'tiny-f16.gguf')
const f32 = join(folder, 'tiny-f32.gguf')

before(async () => {
  for (const [to, type] of [
    [f16, 'f16'],
    [f32, 'f32'],
  ] as const) {
    await quantize({ from: tinyModelPath(), to, type, allowRequantize: true })
  }
})

/** What devices hold, without what is free there at the moment. */
function held({ devices }: { devices: readonly DeviceShare[] }) {
  return devices.map(({ compute, kv, layers, name, weights }) => ({ compute, kv, layers, name, weights }))
}

test('a plan has the figures of the load', async () => {
  for (const options of [
    {},
    { contextSize: 512, kvType: 'f32', flashAttention: false },
    { batchSize: 64, maxSequences: 2, draft: 'tiny' },
  ] satisfies LoadOptions[]) {
    const planned = await Phi2.plan({ model: 'tiny', ...options })
    const { info } = await loadTiny(options)
    assert.equal(planned.fits, true)
    assert.deepEqual([planned.layers, planned.gpuLayers], [info.layers + 1, info.gpuLayers])
    assert.deepEqual(held(planned), held(info))
    const [cpu] = planned.devices
    assert.equal(
      cpu!.kv,
      2 *
        info.layers *
        info.embeddingSize *
        info.contextSize *
        (info.kvType === 'f32' ? 4 : 2) *
        ('draft' in options ? 2 : 1),
    )
  }
})

test('a plan of a full-size file reads its header only, and says what does not fit', async () => {
  const path = join(folder, 'sparse.gguf')
  await writeSparseModel(path, { loadable: true })
  const planned = await Phi2.plan({ model: path, device: 'cpu' })
  const { kv, layers, weights } = planned.devices.at(-1)!
  assert.deepEqual([kv, layers, planned.layers], [2 * 32 * 2560 * 2 * 2048, 33, 33])
  // Matrices in two bytes, the rest in four.
  assert.ok(weights > 5.55e9 && weights < 5.57e9, `${weights}`)
  const huge = await Phi2.plan({ model: path, device: 'cpu', contextSize: 1 << 20 })
  assert.equal(huge.fits, false)
  assert.equal(huge.devices.at(-1)!.kv, kv * 512)
})

test('of a file that was not downloaded a plan reads the header alone, and leaves nothing', async () => {
  const bytes = await readFile(tinyModelPath())
  await using server = await hostileServer(bytes)
  const model = `${server.url}/phi-2.gguf`
  const left = () => readdirSync(tmpdir()).filter((name) => name.startsWith('phi2-plan-'))
  const before = left()
  const local = await Phi2.plan({ model: 'tiny', draft: 'tiny' })
  const remote = await Phi2.plan({ model, draft: model })
  assert.deepEqual({ ...remote, devices: held(remote) }, { ...local, path: model, devices: held(local) })
  assert.ok(server.bytesServed < bytes.length / 4, `${server.bytesServed} bytes`)
  await assert.rejects(Phi2.plan({ model, mode: 'fp32-cpu' }), { code: 'PHI2_MODE_UNAVAILABLE', message: /Q8_0/ })
  await assert.rejects(Phi2.plan({ model: './nothing.gguf' }), { code: 'PHI2_MODEL_NOT_FOUND' })
  await assert.rejects(Phi2.plan({ model: 'f16' }), { code: 'PHI2_MODEL_NOT_FOUND', message: /pull --convert f16/ })
  assert.deepEqual(left(), before)
})

test('an aborted plan rejects with the signal’s reason', async () => {
  const reason = new Error('changed my mind')
  await assert.rejects(Phi2.plan({ model: 'tiny', signal: AbortSignal.abort(reason) }), reason)
  const controller = new AbortController()
  const plan = Phi2.plan({ model: 'tiny', signal: controller.signal })
  controller.abort(reason)
  await assert.rejects(plan, reason)
})

test('mode fp32-cpu computes an F32 file with an F32 cache on the CPU', async () => {
  await using phi2 = await Phi2.load({ model: f32, mode: 'fp32-cpu' })
  const { device, devices, flashAttention, gpuLayers, kvType, layers, mode } = phi2.info
  assert.deepEqual([mode, kvType, flashAttention, gpuLayers, device], ['fp32-cpu', 'f32', false, 0, 'CPU'])
  assert.deepEqual(
    devices.map(({ layers, name }) => [name, layers]),
    [['CPU', layers + 1]],
  )
  assert.equal((await phi2.ask('What is the capital of France?')).text, 'The capital of France is Paris.')
})

test('a mode refuses a file of another type, names both, and tells how to get the right one', async () => {
  for (const model of ['tiny', f16]) {
    await assert.rejects(Phi2.load({ model, mode: 'fp32-cpu' }), {
      name: 'Phi2Error',
      code: 'PHI2_MODE_UNAVAILABLE',
      message: /Mode fp32-cpu needs a file with weights in F32, and .* has (Q8_0|F16)\. .*phi2 pull --convert f32/,
    })
  }
})

test('a mode without a model looks for its own type in the cache', async () => {
  await assert.rejects(Phi2.load({ mode: 'fp32-cpu' }), {
    code: 'PHI2_MODE_UNAVAILABLE',
    message: /needs a file with weights in F32: f32 is not in the cache .*phi2 pull --convert f32/,
  })
})

const hasCuda = loadAddon()
  .devices()
  .some(({ backend }) => backend === 'CUDA')

test('modes on CUDA are unavailable without it: the error names the devices and why there is none', {
  skip: hasCuda && 'there is a CUDA device',
}, async () => {
  for (const mode of ['fp16-flash-cuda', 'fp16-cuda', 'fp32-cuda'] as const) {
    await assert.rejects(Phi2.load({ model: f16, mode }), {
      code: 'PHI2_MODE_UNAVAILABLE',
      message: new RegExp(`Mode ${mode} needs a CUDA device, and there is none\\. Found: .*CPU .*cuda: `, 's'),
    })
  }
  for (const options of [{ device: 'cuda0' }, { device: ['cuda0', 'cuda1'] }] satisfies LoadOptions[]) {
    await assert.rejects(Phi2.load({ model: 'tiny', ...options }), { code: 'PHI2_MODE_UNAVAILABLE' })
  }
})

test('info names the backends that are not used, and why', async () => {
  const { info } = await loadTiny({ device: 'cpu' })
  assert.equal(info.mode, 'auto')
  for (const { name, reason } of info.notTaken) assert.ok(name !== '' && reason.length > 10, `${name}: ${reason}`)
  const taken = loadAddon()
    .devices()
    .map(({ backend }) => backend)
  if (process.platform === 'linux')
    assert.ok(taken.includes('CUDA') || info.notTaken.some(({ name }) => name === 'cuda'))
})
