import type { GgmlTypeName, GgufElementType, GgufValueType } from './format.js'
import type { MemoryEstimate, ModelShape, SpeedEstimate } from './memory.js'

/** What {@link inspect} found: plain data, which `JSON.stringify` takes as it is. */
export interface Inspection {
  file: FileFacts
  model: ModelFacts
  /** Undefined when the keys of its sizes are missing or make no sense. */
  shape: ModelShape | undefined
  tokenizer: TokenizerFacts
  /** For other architectures these two are rougher; undefined without a shape. */
  memory: MemoryEstimate | undefined
  speed: SpeedEstimate | undefined
  /** What keeps the file from running here, or from running well. */
  warnings: Remark[]
  /** What is worth knowing and harmless. */
  notes: Remark[]
  /** In file order. */
  keys: InspectedKey[]
  /** In file order. */
  tensors: InspectedTensor[]
}

export interface FileFacts {
  /** As given, a URL without its query. */
  source: string
  remote: boolean
  /** Undefined where the server does not tell. */
  bytes: number | undefined
  /** Of the GGUF format. */
  version: number
  alignment: number
  /** Where the tensors' data begin. */
  dataOffset: number
  /** Bytes that the tensors' data still lack: more than 0 for an unfinished download, which cannot be loaded. */
  missingBytes: number
  /** Bytes behind the last tensor that belong to nothing. */
  extraBytes: number
}

export interface ModelFacts {
  architecture: string | undefined
  name: string | undefined
  license: string | undefined
  /** `general.file_type` by the name of llama.cpp, such as `q4_k_m`. */
  fileType: string | undefined
  parameters: number
  tensorBytes: number
  /** Of all tensors, the unquantized vectors included. */
  bitsPerWeight: number | undefined
  /** By bytes, the largest share first. */
  mixture: MixtureShare[]
}

export interface MixtureShare {
  type: GgmlTypeName
  tensors: number
  parameters: number
  bytes: number
}

export interface TokenizerFacts {
  model: string | undefined
  pre: string | undefined
  /** Ids, padding included. */
  tokens: number
  /** Ids that stand for a text: in Phi-2 50295. */
  usedTokens: number
  merges: number
  special: SpecialToken[]
}

export interface SpecialToken {
  /** `eos` for `tokenizer.ggml.eos_token_id`. */
  kind: string
  id: number
  /** Undefined for an id that is no token. */
  text: string | undefined
}

export interface Remark {
  /** Stable, for programs. */
  code: RemarkCode
  message: string
}

export type RemarkCode =
  | 'truncated'
  | 'not-phi2'
  | 'shape-unknown'
  | 'no-pre-tokenizer'
  | 'other-pre-tokenizer'
  | 'no-eos'
  | 'missing-tensors'
  | 'tensor-type'
  | 'alignment'
  | 'split'
  | 'head-size'
  | 'vocabulary-size'
  | 'odd-size'
  | 'extra-bytes'
  | 'research-license'
  | 'no-license'
  | 'fused-qkv'
  | 'reduced'
  | 'size-unknown'

export interface InspectedKey {
  key: string
  type: GgufValueType
  /** Of an array. */
  of?: GgufElementType
  /** Of an array. */
  length?: number
  /**
   * Integers that JavaScript's numbers cannot hold, and infinities, are texts. Of an array the first elements and of a
   * long text the beginning, or all of them with `fullValues`.
   */
  value: InspectedValue | InspectedValue[]
}

export type InspectedValue = string | number | boolean

export interface InspectedTensor {
  name: string
  type: GgmlTypeName
  /** GGUF order: the row length first. */
  shape: readonly number[]
  /** From the start of the file. */
  offset: number
  bytes: number
}
