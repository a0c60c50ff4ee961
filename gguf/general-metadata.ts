import type { FileTypeName } from './file-types.js'
import type { GgufMetadata } from './format.js'
import type { Ancestor } from './model-name.js'

/** What a file says about where its model comes from. */
export interface GeneralInfo {
  name: string
  /** Count of all weights. */
  parameters: number
  fileType: FileTypeName
  tags: string[]
  languages: string[]
  author?: string
  version?: string
  organization?: string
  finetune?: string
  basename?: string
  description?: string
  /** @default by the count of weights */
  sizeLabel?: string
  license?: string
  licenseName?: string
  licenseLink?: string
  sourceUrl?: string
  sourceDoi?: string
  sourceUuid?: string
  sourceRepoUrl?: string
  /** The commit of the checkpoint. */
  sourceRevision?: string
  baseModels?: Ancestor[]
  datasets?: Ancestor[]
  /** generation_config.json. */
  sampling?: { readonly [key: string]: unknown }
}

/** Key in generation_config.json, its name under `general.sampling.`, type. */
const SAMPLING_KEYS = [
  [['sequence'], 'sequence', 'string'],
  [['top_k'], 'top_k', 'int32'],
  [['top_p'], 'top_p', 'float32'],
  [['min_p'], 'min_p', 'float32'],
  [['xtc_probability'], 'xtc_probability', 'float32'],
  [['xtc_threshold'], 'xtc_threshold', 'float32'],
  [['temperature'], 'temp', 'float32'],
  [['penalty_last_n'], 'penalty_last_n', 'int32'],
  [['penalty_repeat', 'repetition_penalty'], 'penalty_repeat', 'float32'],
  [['mirostat'], 'mirostat', 'int32'],
  [['mirostat_tau'], 'mirostat_tau', 'float32'],
  [['mirostat_eta'], 'mirostat_eta', 'float32'],
] as const

/**
 * The `general.` keys in the order of llama.cpp's converter (`set_gguf_meta_model` in gguf-py/gguf/metadata.py), but for
 * the file's type and quantization version, which it puts after the model's own. gguf-py has no key for the commit of a
 * checkpoint: `general.source.revision` says it in the word of Hugging Face, beside `general.source.repo_url`; a reader
 * that does not know it passes over it.
 */
export function generalMetadata(general: GeneralInfo): GgufMetadata {
  const metadata: GgufMetadata = new Map()
  const string = (key: string, value: string | undefined) => {
    if (value !== undefined) metadata.set(`general.${key}`, { type: 'string', value })
  }
  const strings = (key: string, value: readonly string[]) => {
    if (value.length > 0) metadata.set(`general.${key}`, { type: 'array', of: 'string', value })
  }
  const ancestors = (key: string, list: readonly Ancestor[] = []) => {
    if (list.length > 0) metadata.set(`general.${key}.count`, { type: 'uint32', value: list.length })
    for (const [index, { name, version, organization, repoUrl }] of list.entries()) {
      string(`${key}.${index}.name`, name)
      string(`${key}.${index}.version`, version)
      string(`${key}.${index}.organization`, organization)
      string(`${key}.${index}.repo_url`, repoUrl)
    }
  }

  string('architecture', 'phi2')
  string('type', 'model')
  for (const [key, value] of samplingMetadata(general.sampling ?? {})) metadata.set(key, value)
  string('name', general.name)
  string('author', general.author)
  string('version', general.version)
  string('organization', general.organization)
  string('finetune', general.finetune)
  string('basename', general.basename)
  string('description', general.description)
  string('size_label', general.sizeLabel ?? sizeLabel(general.parameters))
  string('license', general.license)
  string('license.name', general.licenseName)
  string('license.link', general.licenseLink)
  string('source.url', general.sourceUrl)
  string('source.doi', general.sourceDoi)
  string('source.uuid', general.sourceUuid)
  string('source.repo_url', general.sourceRepoUrl)
  string('source.revision', general.sourceRevision)
  ancestors('base_model', general.baseModels)
  ancestors('dataset', general.datasets)
  strings('tags', general.tags)
  strings('languages', general.languages)
  return metadata
}

function samplingMetadata(json: { readonly [key: string]: unknown }): GgufMetadata {
  const metadata: GgufMetadata = new Map()
  for (const [names, key, type] of SAMPLING_KEYS) {
    const value = names.map((name) => json[name]).find((found) => found !== undefined && found !== null)
    if (type === 'string') {
      if (typeof value === 'string') metadata.set(`general.sampling.${key}`, { type, value })
    } else if (typeof value === 'number' && (type === 'int32' ? (value | 0) === value : isFloat32(value))) {
      metadata.set(`general.sampling.${key}`, { type, value })
    }
  }
  return metadata
}

function isFloat32(value: number): boolean {
  return Number.isFinite(Math.fround(value))
}

/** `39M`, `2.8B`: two digits, as llama.cpp names sizes (`size_label` in gguf-py/gguf/utility.py). */
export function sizeLabel(parameters: number): string {
  const [unit, suffix] =
    parameters > 1e12
      ? [1e12, 'T']
      : parameters > 1e9
        ? [1e9, 'B']
        : parameters > 1e6
          ? [1e6, 'M']
          : ([1e3, 'K'] as const)
  const scaled = parameters / unit
  const wholeDigits = Math.round(scaled) === 0 ? 0 : String(Math.round(scaled)).length
  return scaled.toFixed(Math.max(2 - wholeDigits, 0)) + suffix
}
