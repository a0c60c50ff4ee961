import { printable } from '../src/printable.js'
import { FILE_TYPES, type FileTypeName } from './file-types.js'
import { DEFAULT_ALIGNMENT, type GgmlTypeName, type GgufHeader } from './format.js'
import { number, text } from './inspect-facts.js'
import type { FileFacts, Inspection, ModelFacts, RemarkCode, TokenizerFacts } from './inspect-types.js'
import type { ModelShape } from './memory.js'
import { planTensors } from './tensor-map.js'

export interface Facts {
  header: GgufHeader
  file: FileFacts
  model: ModelFacts
  shape: ModelShape | undefined
  tokenizer: TokenizerFacts
}

/** Phi-2 as Microsoft published it. */
const PHI2 = { layers: 32, embeddingSize: 2560, heads: 32, headSize: 80, vocabularySize: 51200 }

/** What is odd about a file. */
export function remarks(facts: Facts): Pick<Inspection, 'warnings' | 'notes'> {
  const found: Pick<Inspection, 'warnings' | 'notes'> = { warnings: [], notes: [] }
  const warn: Say = (code, message) => found.warnings.push({ code, message })
  const note: Say = (code, message) => found.notes.push({ code, message })
  aboutFile(facts, warn, note)
  aboutLicense(facts, warn, note)
  if (facts.model.architecture !== 'phi2') {
    const architecture = quote(facts.model.architecture)
    warn('not-phi2', `The architecture is ${architecture}. This package runs Phi-2 only.`)
  } else {
    aboutShape(facts, warn, note)
    aboutTokenizer(facts, warn)
    aboutTensors(facts, warn, note)
  }
  return found
}

type Say = (code: RemarkCode, message: string) => void

function aboutFile({ file, header }: Facts, warn: Say, note: Say): void {
  if (file.missingBytes > 0) {
    const whole = header.fileSize + file.missingBytes
    warn(
      'truncated',
      `The file has ${count(header.fileSize)} of ${count(whole)} bytes: ${count(file.missingBytes)} are missing. ` +
        'It cannot be loaded; download it again or resume the download.',
    )
  }
  if (file.extraBytes > 0) {
    warn('extra-bytes', `${count(file.extraBytes)} bytes follow the last tensor and belong to nothing.`)
  }
  if (file.bytes === undefined) note('size-unknown', 'The server does not tell the size: the file may be incomplete.')
  const parts = number(header.metadata, 'split.count') ?? 1
  if (parts > 1) warn('split', `It is one of the ${parts} parts of a split model. Merge them into one file first.`)
}

function aboutLicense({ header, model }: Facts, warn: Say, note: Say): void {
  const names = ['general.license', 'general.license.name', 'general.license.link']
  const found = names.map((key) => text(header.metadata, key) ?? '').join(' ')
  if (/microsoft-research|research[- ]license|\bms-?rl\b/i.test(found)) {
    warn(
      'research-license',
      'It names Microsoft’s research license of December 2023, which forbids commercial use. Phi-2 has been under the ' +
        'MIT license since January 2024: take a file made from a later revision.',
    )
  } else if (model.license === undefined) {
    note('no-license', 'It names no license; the original Phi-2 is under the MIT license.')
  }
}

function aboutShape({ shape, model }: Facts, warn: Say, note: Say): void {
  if (shape === undefined) {
    warn('shape-unknown', 'The keys of its sizes are missing or impossible: it cannot be loaded.')
    return
  }
  if (shape.headSize !== PHI2.headSize) {
    warn('head-size', `Its heads have ${shape.headSize} features; those of Phi-2 have ${PHI2.headSize}.`)
  }
  if (shape.vocabularySize !== PHI2.vocabularySize) {
    warn('vocabulary-size', `It has ${shape.vocabularySize} rows of tokens; Phi-2 has ${PHI2.vocabularySize}.`)
  }
  if (!isFullSize(shape)) {
    note('reduced', `It has the form of Phi-2 but not its size (${count(model.parameters)} parameters).`)
    return
  }
  const off = sizeDeviation(model.fileType as FileTypeName, model.bitsPerWeight ?? 0)
  if (off !== undefined) {
    warn(
      'odd-size',
      `Its tensors are ${Math.abs(100 * off).toFixed(0)} % ${off > 0 ? 'larger' : 'smaller'} than those of a Phi-2 in ` +
        `${model.fileType}: some have another type than usual.`,
    )
  }
}

/**
 * By what share a full-size Phi-2 is larger or smaller than one of its file type should be; undefined when it fits.
 * Fused matrices and the mixtures of older versions of llama.cpp make it up to 6 % larger.
 */
export function sizeDeviation(fileType: FileTypeName | undefined, bitsPerWeight: number): number | undefined {
  const usual = fileType === undefined ? undefined : FILE_TYPES[fileType]?.bits
  const off = usual === undefined ? 0 : bitsPerWeight / usual - 1
  return off < -0.02 || off > 0.08 ? off : undefined
}

function isFullSize(shape: ModelShape): boolean {
  return Object.entries(PHI2).every(([key, value]) => shape[key as keyof typeof PHI2] === value)
}

function aboutTokenizer({ tokenizer }: Facts, warn: Say): void {
  const { pre, special } = tokenizer
  if (pre === undefined || pre === '' || pre === 'default') {
    warn(
      'no-pre-tokenizer',
      'It does not name its pre-tokenizer: it was made before September 2024. This package uses Phi-2’s; other ' +
        'programs may split texts into other tokens.',
    )
  } else if (pre !== 'phi-2' && pre !== 'gpt-2') {
    warn('other-pre-tokenizer', `It names the pre-tokenizer ${quote(pre)}; this package uses Phi-2’s instead.`)
  }
  if (!special.some(({ kind }) => kind === 'eos')) {
    warn('no-eos', 'It does not say which token ends a text. This package uses <|endoftext|>; others may never stop.')
  }
}

/** What the CPU backend of llama.cpp cannot multiply with. */
const NOT_COMPUTABLE = new Set<GgmlTypeName>(['q8_1', 'q8_k', 'i8', 'i16', 'i32', 'i64', 'f64'])

function aboutTensors({ header, model, shape }: Facts, warn: Say, note: Say): void {
  const missing = shape === undefined ? [] : missingTensors(header, shape)
  if (missing.length > 0) {
    const more = missing.length > 1 ? ` and ${missing.length - 1} more tensors` : ''
    warn('missing-tensors', `It lacks ${missing[0]}${more}: it cannot be loaded.`)
  }
  for (const { type, tensors } of model.mixture) {
    if (NOT_COMPUTABLE.has(type)) warn('tensor-type', `${tensors} tensors have the type ${type}, which cannot run.`)
  }
  if (header.alignment < DEFAULT_ALIGNMENT) {
    warn('alignment', `Its tensors are aligned to ${header.alignment} bytes; the engine needs ${DEFAULT_ALIGNMENT}.`)
  }
  if (header.tensors.some(({ name }) => name.endsWith('.attn_qkv.weight'))) {
    note('fused-qkv', 'Queries, keys and values are in one matrix, as in files of before 2024: that runs as well.')
  }
}

/** The engine takes q, k and v in one matrix as well, and either without biases. */
function missingTensors({ tensors }: GgufHeader, shape: ModelShape): string[] {
  const names = new Set(tensors.map(({ name }) => name))
  const isThere = (name: string) =>
    names.has(name) ||
    /\.attn_[qkv]\.bias$/.test(name) ||
    names.has(name.replace(/\.attn_[qkv]\.weight$/, '.attn_qkv.weight'))
  return planTensors(shape)
    .map(({ name }) => name)
    .filter((name) => !isThere(name))
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}

function quote(value: string | undefined): string {
  return value === undefined ? 'not named' : printable(JSON.stringify(value.slice(0, 80)))
}
