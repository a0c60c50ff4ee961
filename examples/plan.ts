// What a model would take on each device, and whether it fits. Run: npx tsx examples/plan.ts
import { Phi2 } from 'phi2'

const { devices, fits, gpuLayers, layers, notTaken } = await Phi2.plan({ model: 'tiny', contextSize: 4096 })
console.log(`${gpuLayers} of ${layers} layers on GPUs; ${fits ? 'it fits' : 'it does not fit'}`)
for (const { compute, kv, memoryFree, name, weights } of devices) {
  const megabytes = [weights, kv, compute, memoryFree].map((bytes) => Math.round(bytes / 1e6))
  console.log(name, 'weights, KV cache, compute and free memory in MB:', megabytes.join(', '))
}
for (const { name, reason } of notTaken) console.log(`not ${name}: ${reason}`)
