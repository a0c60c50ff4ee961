/** The GGUF toolkit: get, convert, quantize, make and look into Phi-2 files. */

export { cacheFolder } from '../src/models/cache.js'
export { type CacheEntry, listCache, removeFromCache } from '../src/models/cache-list.js'
export type { Hub } from '../src/models/hub.js'
export type { MadeType } from '../src/models/names.js'
export { type PullOptions, type PullProgress, type PullResult, pull } from '../src/models/pull.js'
export type { CheckpointNaming } from './checkpoint-naming.js'
export { type ConvertOptions, type ConvertResult, convert } from './convert.js'
export {
  FILE_TYPES,
  type FileType,
  type FileTypeName,
  type ImatrixUse,
  QUANTIZE_TYPES,
  type QuantizeType,
} from './file-types.js'
export {
  GGML_TYPES,
  type GgmlTypeName,
  type GgufArray,
  type GgufElementType,
  type GgufHeader,
  type GgufMetadata,
  type GgufScalar,
  type GgufTensorInfo,
  type GgufValue,
  type GgufValueType,
  tensorByteLength,
} from './format.js'
export { computeImatrix, type ImatrixOptions, type ImatrixResult } from './imatrix.js'
export { type InspectOptions, inspect } from './inspect.js'
export type {
  FileFacts,
  InspectedKey,
  InspectedTensor,
  InspectedValue,
  Inspection,
  MixtureShare,
  ModelFacts,
  Remark,
  RemarkCode,
  SpecialToken,
  TokenizerFacts,
} from './inspect-types.js'
export type { MemoryEstimate, ModelShape, Roofline, SpeedClass, SpeedEstimate } from './memory.js'
export { OUT_TYPES, type OutType } from './out-types.js'
export { type PerplexityComparison, type PerplexityOptions, type PerplexityResult, perplexity } from './perplexity.js'
export { type QuantizeOptions, type QuantizeResult, quantize, TENSOR_TYPES, type TensorType } from './quantize.js'
export type { Fallback } from './quantize-plan.js'
export type { RandomModelOptions } from './random-model.js'
export { readHeader } from './read.js'
export type { Reading, ReadingOptions } from './reading-options.js'
export type { CheckpointSource } from './source.js'
export type { Estimate, Spread } from './statistics.js'
export { type SynthOptions, type SynthResult, synth } from './synth.js'
export {
  type SynthCheckpointOptions,
  type SynthCheckpointResult,
  synthCheckpoint,
} from './synth-checkpoint.js'
export { SYNTH_TYPES, type SynthType } from './synth-types.js'
export { type GgufTensor, type WriteGgufOptions, writeGguf } from './write.js'
