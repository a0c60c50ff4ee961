import assert from 'node:assert/strict'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { loadAddon } from '../../src/native.js'
import { Phi2 } from '../../src/phi2.js'
import { RESERVE } from '../../src/placement/fit.js'
import type { LoadOptions } from '../../src/types.js'
import { loadTiny, temporaryFolder } from '../helpers/model.js'
import { writeSparseModel } from '../helpers/sparse-model.js'
import { softwareVulkan } from '../helpers/vulkan.js'

// A software device, made two of by naming it twice: everything about GPUs but their speed.
const skip = softwareVulkan()
const options = skip === undefined ? {} : { skip }
const question = 'What is the capital of France?'
const reply = 'The capital of France is Paris.'

let layers = 0

before(async () => {
  if (skip === undefined) layers = (await Phi2.plan({ model: 'tiny', device: 'cpu' })).layers
})

async function answerOn(load: LoadOptions) {
  await using phi2 = await Phi2.load({ model: 'tiny', threads: 1, ...load })
  const { text } = await phi2.ask(question)
  const { device, devices, gpuLayers, notTaken, warnings } = phi2.info
  assert.equal(text, reply)
  return { device, devices, gpuLayers, notTaken, warnings, placed: devices.map((share) => [share.name, share.layers]) }
}

test('devices are listed with their memory', options, () => {
  const gpus = loadAddon()
    .devices()
    .filter(({ type }) => type === 'gpu')
  assert.deepEqual(
    gpus.map(({ name }) => name),
    ['Vulkan0', 'Vulkan1'],
  )
  for (const { backend, memoryFree, memoryTotal } of gpus) {
    assert.equal(backend, 'Vulkan')
    assert.ok(memoryFree > 0 && memoryTotal >= memoryFree)
  }
})

test('by itself a load puts all layers on one GPU, and the answer is the CPU’s', options, async () => {
  const { device, devices, gpuLayers, warnings } = await answerOn({})
  assert.match(device, /^Vulkan[01]$/)
  assert.deepEqual([gpuLayers, warnings], [layers, []])
  assert.deepEqual(
    devices.map((share) => share.layers),
    [layers, 0],
  )
  assert.match(devices[0]!.description, /llvmpipe/)
  assert.ok(devices[0]!.kv > 0 && devices[0]!.compute > 0)
  assert.equal(devices[1]!.kv, 0)
})

test('gpuLayers leaves the rest on the CPU', options, async () => {
  const { gpuLayers, placed } = await answerOn({ device: 'vulkan0', gpuLayers: 2 })
  assert.equal(gpuLayers, 2)
  assert.deepEqual(placed, [
    ['Vulkan0', 2],
    ['CPU', layers - 2],
  ])
})

test('a GPU is chosen by name or by number, and the other is named with the reason', options, async () => {
  for (const choice of [{ device: 'vulkan1' }, { mainGpu: 1 }] satisfies LoadOptions[]) {
    const { device, notTaken } = await answerOn(choice)
    assert.equal(device, 'Vulkan1')
    assert.ok(notTaken.some(({ name }) => name === 'Vulkan0'))
  }
})

test('several GPUs share the layers as tensorSplit says', options, async () => {
  const { device, placed } = await answerOn({ tensorSplit: [1, 1] })
  assert.equal(device, 'Vulkan0, Vulkan1')
  const [first, second] = placed.map(([, count]) => count as number)
  assert.equal(first! + second!, layers)
  assert.ok(Math.abs(first! - second!) <= 1, `${first} and ${second}`)
})

test('the CPU alone is used when it is wanted, and the GPUs are named with the reason', options, async () => {
  for (const choice of [{ device: 'cpu' }, { gpuLayers: 0 }] satisfies LoadOptions[]) {
    const { device, gpuLayers, notTaken, placed } = await answerOn(choice)
    assert.deepEqual([device, gpuLayers, placed], ['CPU', 0, [['CPU', layers]]])
    assert.deepEqual(
      notTaken.filter(({ name }) => name.startsWith('Vulkan')).map(({ name }) => name),
      ['Vulkan0', 'Vulkan1'],
    )
  }
})

test('a plan has the figures of the load on every device', options, async () => {
  for (const load of [
    {},
    { gpuLayers: 2 },
    { device: ['vulkan1', 'vulkan0'], contextSize: 512 },
    { flashAttention: false, kvType: 'f32', draft: 'tiny' },
  ] satisfies LoadOptions[]) {
    const planned = await Phi2.plan({ model: 'tiny', ...load })
    const { info } = await loadTiny(load)
    // In the machine's memory files are mapped whole.
    const figures = (shares: typeof info.devices) =>
      shares.map(({ kv, layers: count, name, weights }) => ({ name, count, kv, weights: name === 'CPU' ? 0 : weights }))
    assert.deepEqual(figures(planned.devices), figures(info.devices))
    for (const [at, { compute }] of planned.devices.entries()) {
      // Pinned buffers are rounded, and what several GPUs copy from each other is counted for the worst case.
      const ratio = compute / info.devices[at]!.compute
      assert.ok(planned.devices.length > 2 ? ratio > 0.99 && ratio < 1.3 : Math.abs(ratio - 1) < 0.001, `${ratio}`)
    }
    assert.deepEqual([planned.gpuLayers, planned.fits], [info.gpuLayers, true])
  }
})

test(
  'of a model that is too large as many layers go to the GPU as fit, unless all are asked for',
  options,
  async () => {
    const model = join(temporaryFolder(), 'sparse.gguf')
    await writeSparseModel(model, { type: 'f32', loadable: true }) // 11 GB: no software device offers so much
    const planned = await Phi2.plan({ model, device: 'vulkan0' })
    const gpu = planned.devices[0]!
    assert.ok(planned.gpuLayers > 0 && planned.gpuLayers < 33, `${planned.gpuLayers}`)
    assert.deepEqual([gpu.layers, gpu.fits], [planned.gpuLayers, true])
    assert.ok(gpu.weights + gpu.kv + gpu.compute + RESERVE <= gpu.memoryFree)
    assert.match(planned.warnings.join(), /of 33 layers are on Vulkan0, the rest is on the CPU/)

    const all = { model, device: 'vulkan0', gpuLayers: -1 }
    assert.equal((await Phi2.plan(all)).fits, false)
    await assert.rejects(Phi2.load(all), {
      code: 'PHI2_MODE_UNAVAILABLE',
      message: /gpuLayers -1 puts 33 of 33 layers .* on Vulkan0, where .* are free/,
    })
  },
)

test('a cache that the device cannot work with is an error, not the end of the process', options, async () => {
  const huge = { model: 'tiny', device: 'vulkan0', contextSize: 1 << 20 }
  for (const call of [() => Phi2.load(huge), () => Phi2.plan(huge)]) {
    await assert.rejects(call, {
      code: 'PHI2_CONTEXT_FAILED',
      message: /Vulkan0 cannot work with a KV cache of 1048576 cells/,
    })
  }
})

test('modes on CUDA do not take a Vulkan device instead', options, async () => {
  await assert.rejects(Phi2.load({ model: 'tiny', mode: 'fp16-cuda' }), {
    code: 'PHI2_MODE_UNAVAILABLE',
    message: /Mode fp16-cuda needs a CUDA device.*Found: .*Vulkan0/,
  })
})

test('a chat that was saved on the GPU goes on on the CPU without being read again', options, async () => {
  const state = join(temporaryFolder(), 'chat.kv')
  await using onGpu = await Phi2.load({ model: 'tiny', device: 'vulkan0' })
  const chat = onGpu.chat()
  await chat.say('Hello! What is a prime number?')
  const saved = await chat.save({ state })
  await using onCpu = await Phi2.load({ model: 'tiny', device: 'cpu' })
  const { usage } = await onCpu.chat(saved).say('Thank you!')
  assert.ok(usage.cachedTokens >= saved.state!.tokens - 1, `${usage.cachedTokens} of ${saved.state!.tokens}`)
})
