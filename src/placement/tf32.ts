import { isMainThread } from 'node:worker_threads'
import { addonIsLoaded } from '../native.js'
import type { Mode } from '../types.js'

const VARIABLE = 'NVIDIA_TF32_OVERRIDE'

/**
 * llama.cpp lets cuBLAS multiply F32 matrices in TF32, whose factors have 10 bits after the point, on GPUs that can. Only
 * NVIDIA's own variable keeps it from that, for the whole process, and it is read when cuBLAS is loaded: so it is set
 * before the addon is, and left alone afterwards, when threads of the engine may be reading the environment.
 *
 * (With F32 weights and KV the engine's GGML_CUDA_CUBLAS_COMPUTE_TYPE would change nothing: the type of the weights is what
 * it computes in. Steps of 4 to 16 tokens go through a kernel of its own that uses TF32 whatever the variables say.)
 */
export function keepFullPrecision(mode: Mode): string[] {
  if (mode !== 'fp32-cuda' || process.env[VARIABLE] === '0') return []
  if (process.env[VARIABLE] === undefined && isMainThread && !addonIsLoaded()) {
    process.env[VARIABLE] = '0'
    return []
  }
  return [
    `F32 matrices may be multiplied in TF32, with 10 bits of precision: ${VARIABLE} is not 0, and only before the first load ` +
      `in the main thread can mode fp32-cuda set it. Start the program with ${VARIABLE}=0.`,
  ]
}
