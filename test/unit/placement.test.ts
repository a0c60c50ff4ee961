import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { NativeMemoryNeed } from '../../src/native.js'
import { resolveLoad } from '../../src/options.js'
import { chooseDevices } from '../../src/placement/choose.js'
import { fitLayers, type NativePlacement, RESERVE } from '../../src/placement/fit.js'
import { modelOfMode, modes } from '../../src/placement/modes.js'
import { requireRoom, roomWarnings } from '../../src/placement/room.js'
import { keepFullPrecision } from '../../src/placement/tf32.js'
import type { DeviceInfo, LoadOptions, Mode } from '../../src/types.js'

const GB = 1e9

function device(name: string, memory = 24 * GB, more: Partial<DeviceInfo> = {}): DeviceInfo {
  const backend = name.replace(/\d+$/, '')
  const type = backend === 'CPU' ? 'cpu' : 'gpu'
  return { name, description: `a ${name}`, type, backend, memoryTotal: memory, memoryFree: memory, ...more }
}

const cpu = device('CPU', 64 * GB)
const cuda0 = device('CUDA0', 8 * GB, { id: '0000:01:00.0' })
const cuda1 = device('CUDA1', 24 * GB, { id: '0000:02:00.0' })
const vulkan0 = device('Vulkan0', 8 * GB, { id: '0000:01:00.0' })
const vulkan1 = device('Vulkan1', 16 * GB, { id: '0000:03:00.0' })
const igpu = device('Vulkan2', 32 * GB, { type: 'igpu' })
const metal = device('MTL0')
const everything = [vulkan0, vulkan1, igpu, cuda0, cuda1, cpu]

function choose(options: LoadOptions, devices: readonly DeviceInfo[] = everything) {
  const { gpus, ...choice } = chooseDevices(resolveLoad(options), devices)
  return { ...choice, names: gpus.map(({ name }) => name) }
}

const names = (options: LoadOptions, devices?: readonly DeviceInfo[]) => choose(options, devices).names

describe('options about devices', () => {
  it('are undefined where the best is to be taken', () => {
    const { device: wanted, gpuLayers, mainGpu, mode, tensorSplit } = resolveLoad({ device: 'auto' })
    assert.deepEqual(
      [wanted, gpuLayers, mainGpu, tensorSplit, mode],
      [undefined, undefined, undefined, undefined, 'auto'],
    )
  })

  it('take names in any case, one by one or with commas', () => {
    assert.deepEqual(resolveLoad({ device: 'CUDA0, Vulkan1' }).device, ['cuda0', 'vulkan1'])
    assert.deepEqual(resolveLoad({ device: ['CUDA0', 'vulkan1'] }).device, ['cuda0', 'vulkan1'])
  })

  it('are refused when they are no devices, or no shares', () => {
    const wrong: object[] = [
      { device: '' },
      { device: [] },
      { device: ['cuda0', ''] },
      { device: ['cuda0', 1] },
      { device: null },
      { device: 'cuda0,cuda0' },
      { device: 'cpu,cuda0' },
      { device: ['gpu', 'cuda0'] },
      { mode: 'fp16' },
      { mode: null },
      { mainGpu: -1 },
      { mainGpu: 0.5 },
      { gpuLayers: -2 },
      { gpuLayers: Number.NaN },
      { tensorSplit: [] },
      { tensorSplit: [0, 0] },
      { tensorSplit: [1, -1] },
      { tensorSplit: [1, Number.NaN] },
      { tensorSplit: '1,2' },
    ]
    for (const options of wrong) {
      assert.throws(() => resolveLoad(options), { code: 'PHI2_INVALID_OPTION' }, JSON.stringify(options))
    }
  })

  it('are refused when they contradict each other', () => {
    const wrong: LoadOptions[] = [
      { mainGpu: 0, tensorSplit: [1, 1] },
      { device: 'cpu', gpuLayers: 5 },
      { device: 'cpu', gpuLayers: -1 },
      { device: 'cpu', mainGpu: 0 },
      { device: 'cpu', tensorSplit: [1] },
      { device: 'cuda0', gpuLayers: 0 },
      { gpuLayers: 0, mainGpu: 1 },
      { mode: 'fp32-cpu', device: 'cuda0' },
      { mode: 'fp32-cpu', mainGpu: 0 },
      { mode: 'fp16-cuda', device: 'cpu' },
    ]
    for (const options of wrong) {
      assert.throws(() => resolveLoad(options), { code: 'PHI2_INVALID_OPTION' }, JSON.stringify(options))
    }
    assert.doesNotThrow(() => resolveLoad({ device: 'cpu', gpuLayers: 0 }))
    assert.doesNotThrow(() => resolveLoad({ mode: 'fp32-cpu', device: 'cpu' }))
  })
})

describe('a mode', () => {
  it('sets what the model card names', () => {
    const set = (mode: Mode) => {
      const { flashAttention, gpuLayers, kvType } = resolveLoad({ mode })
      return [flashAttention, gpuLayers, kvType]
    }
    assert.deepEqual(set('fp16-flash-cuda'), [true, -1, 'f16'])
    assert.deepEqual(set('fp16-cuda'), [false, -1, 'f16'])
    assert.deepEqual(set('fp32-cuda'), [false, -1, 'f32'])
    assert.deepEqual(set('fp32-cpu'), [false, 0, 'f32'])
    assert.deepEqual(set('auto'), ['auto', undefined, 'f16'])
    assert.deepEqual([modes['fp32-cpu'].fileType, modes['fp16-cuda'].fileType], [0, 1])
  })

  it('refuses options that say otherwise, naming both, and takes those that say the same', () => {
    assert.throws(() => resolveLoad({ mode: 'fp16-cuda', flashAttention: true }), {
      name: 'RangeError',
      code: 'PHI2_INVALID_OPTION',
      message: /false for flashAttention together with mode 'fp16-cuda'.*received true/,
    })
    assert.throws(() => resolveLoad({ mode: 'fp32-cuda', kvType: 'f16' }), { code: 'PHI2_INVALID_OPTION' })
    assert.throws(() => resolveLoad({ mode: 'fp16-cuda', gpuLayers: 10 }), { code: 'PHI2_INVALID_OPTION' })
    assert.doesNotThrow(() => resolveLoad({ mode: 'fp32-cpu', kvType: 'f32', flashAttention: false, gpuLayers: 0 }))
  })

  it('of F32 on CUDA keeps cuBLAS from TF32, and warns where it cannot', (t) => {
    const saved = process.env.NVIDIA_TF32_OVERRIDE
    t.after(() => {
      if (saved === undefined) delete process.env.NVIDIA_TF32_OVERRIDE
      else process.env.NVIDIA_TF32_OVERRIDE = saved
    })
    delete process.env.NVIDIA_TF32_OVERRIDE
    for (const mode of ['auto', 'fp16-cuda', 'fp32-cpu'] as const) {
      assert.deepEqual([keepFullPrecision(mode), process.env.NVIDIA_TF32_OVERRIDE], [[], undefined])
    }
    assert.deepEqual([keepFullPrecision('fp32-cuda'), process.env.NVIDIA_TF32_OVERRIDE], [[], '0'])
    process.env.NVIDIA_TF32_OVERRIDE = '1'
    assert.match(keepFullPrecision('fp32-cuda').join(), /NVIDIA_TF32_OVERRIDE is not 0/)
    assert.equal(process.env.NVIDIA_TF32_OVERRIDE, '1')
  })

  it('names the model to take when nobody does', () => {
    assert.equal(modelOfMode('fp16-flash-cuda', {}), 'f16')
    assert.equal(modelOfMode('fp32-cpu', {}), 'f32')
    assert.equal(modelOfMode('fp32-cpu', { PHI2_MODEL: './x.gguf' }), undefined)
    assert.equal(modelOfMode('auto', {}), undefined)
  })
})

describe('the best devices', () => {
  it('are those of CUDA, each card once, and the others are named with the reason', () => {
    const { names: taken, notTaken, oneWillDo } = choose({})
    assert.deepEqual([taken, oneWillDo], [['CUDA0', 'CUDA1'], true])
    const reasons = Object.fromEntries(notTaken.map(({ name, reason }) => [name, reason]))
    assert.deepEqual(Object.keys(reasons).sort(), ['Vulkan0', 'Vulkan1', 'Vulkan2'])
    assert.match(reasons.Vulkan0!, /same card as CUDA0/)
    assert.match(reasons.Vulkan1!, /CUDA go before those of Vulkan/)
    assert.match(reasons.Vulkan2!, /no memory of its own, as CUDA0 has/)
  })

  it('are integrated ones only where there are no others', () => {
    assert.deepEqual(names({}, [igpu, cpu]), ['Vulkan2'])
    assert.deepEqual(names({}, [igpu, vulkan1, cpu]), ['Vulkan1'])
  })

  it('are none without a GPU: the CPU has all', () => {
    assert.deepEqual(choose({}, [cpu]), { names: [], oneWillDo: false, notTaken: [] })
    assert.deepEqual(names({}, [cpu, { ...device('BLAS'), type: 'accel' }]), [])
  })
})

describe('a device by name', () => {
  it('is taken whatever else there is', () => {
    assert.deepEqual(names({ device: 'vulkan1' }), ['Vulkan1'])
    assert.deepEqual(names({ device: 'Vulkan2' }), ['Vulkan2'])
    assert.deepEqual(names({ device: ['vulkan1', 'cuda0'] }), ['Vulkan1', 'CUDA0'])
    assert.equal(choose({ device: ['vulkan1', 'cuda0'] }).oneWillDo, false)
  })

  it('can be a backend: all of its devices', () => {
    assert.deepEqual(names({ device: 'cuda' }), ['CUDA0', 'CUDA1'])
    assert.deepEqual(names({ device: 'vulkan' }), ['Vulkan0', 'Vulkan1', 'Vulkan2'])
    assert.deepEqual(names({ device: 'metal' }, [metal, cpu]), ['MTL0'])
    assert.deepEqual(names({ device: 'metal0' }, [metal, cpu]), ['MTL0'])
    assert.equal(choose({ device: 'cuda' }).oneWillDo, true)
    assert.deepEqual(names({ device: ['cuda0', 'cuda'] }), ['CUDA0', 'CUDA1'])
  })

  it('is an error that tells what there is, when it is not there', () => {
    for (const wanted of ['cuda0', 'cuda', 'vulkan', 'cuda7', 'gpu', 'nonsense']) {
      assert.throws(() => choose({ device: wanted }, [cpu]), {
        code: 'PHI2_MODE_UNAVAILABLE',
        message: /Found: CPU \(a CPU\)/,
      })
    }
    assert.throws(() => choose({ device: 'cuda7' }), /There is no device cuda7\. Found: Vulkan0 .*CUDA1/)
    assert.deepEqual(names({ device: 'gpu' }), ['CUDA0', 'CUDA1'])
  })

  it('is the CPU without a look at GPUs, which are named with the reason', () => {
    for (const options of [{ device: 'cpu' }, { gpuLayers: 0 }, { mode: 'fp32-cpu' }] satisfies LoadOptions[]) {
      const { names: taken, notTaken } = choose(options)
      assert.deepEqual(taken, [])
      assert.equal(notTaken.length, 5)
    }
    assert.match(choose({ mode: 'fp32-cpu' }).notTaken[0]!.reason, /mode fp32-cpu/)
  })
})

describe('mainGpu and tensorSplit', () => {
  it('narrow the choice, and name the rest', () => {
    assert.deepEqual(names({ mainGpu: 1 }), ['CUDA1'])
    assert.deepEqual(names({ device: 'vulkan', mainGpu: 1 }), ['Vulkan1'])
    assert.deepEqual(names({ tensorSplit: [1] }), ['CUDA0'])
    assert.deepEqual(names({ tensorSplit: [0, 1] }), ['CUDA1'])
    const shared = choose({ tensorSplit: [3, 1] })
    assert.deepEqual([shared.names, shared.oneWillDo], [['CUDA0', 'CUDA1'], false])
    assert.ok(choose({ mainGpu: 1 }).notTaken.some(({ name, reason }) => name === 'CUDA0' && /mainGpu/.test(reason)))
  })

  it('are errors where there are not so many', () => {
    for (const options of [{ mainGpu: 2 }, { tensorSplit: [1, 1, 1] }]) {
      assert.throws(() => choose(options), { code: 'PHI2_MODE_UNAVAILABLE', message: /2 GPUs/ })
    }
    assert.throws(() => choose({ mainGpu: 0 }, [cpu]), { code: 'PHI2_MODE_UNAVAILABLE', message: /mainGpu is 0/ })
    assert.throws(() => choose({ gpuLayers: 5 }, [cpu]), { code: 'PHI2_MODE_UNAVAILABLE', message: /gpuLayers is 5/ })
  })
})

describe('a mode on CUDA', () => {
  it('takes CUDA devices only', () => {
    assert.deepEqual(names({ mode: 'fp16-cuda' }), ['CUDA0', 'CUDA1'])
    assert.deepEqual(names({ mode: 'fp16-cuda', device: 'cuda1' }), ['CUDA1'])
  })

  it('is unavailable without one, whatever else there is', () => {
    for (const mode of ['fp16-flash-cuda', 'fp16-cuda', 'fp32-cuda'] as const) {
      for (const devices of [[cpu], [metal, cpu], [vulkan0, vulkan1, igpu, cpu]]) {
        assert.throws(() => choose({ mode }, devices), {
          code: 'PHI2_MODE_UNAVAILABLE',
          message: new RegExp(`Mode ${mode} needs a CUDA device.* Found: .*CPU`),
        })
      }
    }
    assert.throws(
      () => choose({ mode: 'fp16-cuda', device: 'vulkan1' }),
      /Mode fp16-cuda needs a CUDA device, and Vulkan1/,
    )
  })
})

/** A model of 32 equal layers and the output, each of so many bytes, with a fixed amount for computing on every device. */
function modelOf(layerBytes: number, compute = 0.1 * GB) {
  const asked: NativePlacement[] = []
  const measure = async (placement: NativePlacement): Promise<NativeMemoryNeed> => {
    asked.push(placement)
    const { devices, n_gpu_layers, tensor_split = devices.map(() => 1) } = placement
    const layers = n_gpu_layers < 0 ? 33 : n_gpu_layers
    const total = tensor_split.reduce((sum, share) => sum + share, 0)
    const shares = devices.map((name, index) => {
      const own = (layers * tensor_split[index]!) / total
      return { name, layers: own, weights: own * layerBytes, kv: 0, compute }
    })
    return { layers: 33, devices: [...shares, { name: 'CPU', layers: 33 - layers, weights: 0, kv: 0, compute: 0 }] }
  }
  return { measure, asked }
}

async function fit(options: LoadOptions, devices: readonly DeviceInfo[], layerBytes: number) {
  const wish = resolveLoad(options)
  const choice = chooseDevices(wish, devices)
  const { asked, measure } = modelOf(layerBytes)
  const fitted = await fitLayers(wish, choice, measure)
  return { wish, choice, fitted, asked, placed: [...fitted.native.devices, fitted.native.n_gpu_layers] }
}

describe('layers', () => {
  it('are not measured where the CPU has all of them', async () => {
    const { asked, fitted } = await fit({ device: 'cpu' }, everything, 0.1 * GB)
    assert.deepEqual([asked, fitted], [[], { native: { devices: [], n_gpu_layers: 0 }, notTaken: [] }])
  })

  it('all go to the one GPU that has room for them, not to several', async () => {
    const { asked, fitted, placed } = await fit({}, everything, 0.1 * GB)
    assert.deepEqual([placed, fitted.shortage, asked.length], [['CUDA1', 33], undefined, 1])
    assert.deepEqual(fitted.notTaken, [{ name: 'CUDA0', reason: 'CUDA1 alone has room for everything' }])
  })

  it('are shared where one GPU is too small', async () => {
    const { placed } = await fit({}, [device('CUDA0', 8 * GB), device('CUDA1', 8 * GB), cpu], 0.35 * GB)
    assert.deepEqual(placed, ['CUDA0', 'CUDA1', 33])
  })

  it('are as many as fit, less what stays free, and the rest is told', async () => {
    // (8 GB - 0.54 GB kept - 0.1 GB to compute) / 0.5 GB
    const { asked, choice, fitted, placed, wish } = await fit({}, [cuda0, cpu], 0.5 * GB)
    assert.deepEqual(placed, ['CUDA0', Math.floor((8 * GB - RESERVE - 0.1 * GB) / (0.5 * GB))])
    assert.ok(asked.length <= 7, `${asked.length} measurements`)
    assert.doesNotThrow(() => requireRoom(wish, choice, fitted))
    assert.match(
      roomWarnings({ gpuLayers: undefined }, fitted)[0]!,
      /14 of 33 layers are on CUDA0, the rest is on the CPU.*16\.6 GB on CUDA0/,
    )
  })

  it('are none where not even one fits', async () => {
    const { fitted, placed } = await fit({}, [cuda0, cpu], 9 * GB)
    assert.deepEqual(placed, [0])
    assert.match(roomWarnings({ gpuLayers: undefined }, fitted)[0]!, /No layer fits on the GPU/)
    assert.match(fitted.notTaken[0]!.reason, /not one layer fits/)
  })

  it('asked for by number are an error where they do not fit, and use what is kept otherwise', async () => {
    const small = await fit({ gpuLayers: 15 }, [cuda0, cpu], 0.5 * GB)
    assert.deepEqual([small.placed, small.fitted.shortage], [['CUDA0', 15], undefined])
    assert.match(
      roomWarnings(small.wish, small.fitted).join(),
      /7\.6 GB on CUDA0, where 8\.0 GB are free, of which 0\.5 GB should stay/,
    )
    const roomy = await fit({ gpuLayers: 10 }, [cuda0, cpu], 0.5 * GB)
    assert.deepEqual(roomWarnings(roomy.wish, roomy.fitted), [])
    const large = await fit({ gpuLayers: 20 }, [cuda0, cpu], 0.5 * GB)
    assert.throws(() => requireRoom(large.wish, large.choice, large.fitted), {
      code: 'PHI2_MODE_UNAVAILABLE',
      message: /gpuLayers 20 .*10\.1 GB on CUDA0, where 8\.0 GB are free/,
    })
    assert.match(roomWarnings(large.wish, large.fitted).join(), /20 of 33 layers do not fit/)
    const all = await fit({ gpuLayers: -1 }, [cuda0, cpu], 0.5 * GB)
    assert.throws(() => requireRoom(all.wish, all.choice, all.fitted), { code: 'PHI2_MODE_UNAVAILABLE' })
  })

  it('all have to fit in a mode on CUDA', async () => {
    const { choice, fitted, wish } = await fit({ mode: 'fp16-cuda' }, [cuda0, cpu], 0.5 * GB)
    assert.throws(() => requireRoom(wish, choice, fitted), {
      code: 'PHI2_MODE_UNAVAILABLE',
      message: /Mode fp16-cuda puts 33 of 33 layers .*16\.6 GB on CUDA0, where 8\.0 GB are free/,
    })
  })

  it('are shared as tensorSplit says', async () => {
    const { asked, fitted } = await fit({ tensorSplit: [3, 1] }, everything, 0.1 * GB)
    assert.deepEqual(fitted.native, { devices: ['CUDA0', 'CUDA1'], n_gpu_layers: 33, tensor_split: [3, 1] })
    assert.equal(asked.length, 1)
    const { fitted: single } = await fit({ tensorSplit: [0, 1] }, everything, 0.1 * GB)
    assert.deepEqual(single.native, { devices: ['CUDA1'], n_gpu_layers: 33 })
  })

  it('go to a device that does not tell its memory', async () => {
    const { placed } = await fit({}, [device('CUDA0', 0), cpu], 0.5 * GB)
    assert.deepEqual(placed, ['CUDA0', 33])
  })
})
