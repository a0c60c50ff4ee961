import { join } from 'node:path'
import { readText } from './checkpoint-json.js'

/** What a checkpoint's README.md says about itself, as far as GGUF has keys for it. */
export interface ModelCard extends Partial<Record<(typeof TEXT_FIELDS)[number][0], string>> {
  tags: string[]
  languages: string[]
  /** Ids or addresses of the models that this one was made from. */
  baseModels: string[]
  datasets: string[]
}

/** Field → its names in a model card, those of Hugging Face and those that llama.cpp's converter reads as well. */
const TEXT_FIELDS = [
  ['name', ['name', 'model_name']],
  ['author', ['author', 'model_author', 'model_creator']],
  ['version', ['version', 'model_version']],
  ['organization', ['organization', 'model_organization']],
  ['description', ['description', 'model_description']],
  ['finetune', ['finetune', 'model_finetune']],
  ['basename', ['basename', 'model_basename', 'model_type']],
  ['sizeLabel', ['size_label', 'model_size_label']],
  ['sourceUrl', ['url', 'model_url']],
  ['sourceDoi', ['doi', 'model_doi']],
  ['sourceUuid', ['uuid', 'model_uuid']],
  ['sourceRepoUrl', ['repo_url', 'model_repo_url']],
  ['license', ['license']],
  ['licenseName', ['license_name']],
  ['licenseLink', ['license_link']],
] as const

/** Reads the front matter of README.md; without one, nothing is known. */
export async function readModelCard(folder: string): Promise<ModelCard> {
  const fields = frontMatter((await readText(join(folder, 'README.md'))) ?? '')
  const all = (...keys: string[]) => keys.flatMap((key) => fields.get(key) ?? [])
  const first = (...keys: string[]) => fields.get(keys.find((key) => fields.has(key)) ?? '') ?? []
  const texts = TEXT_FIELDS.map(([name, keys]) => [name, first(...keys).join(',')] as const)
  return {
    ...Object.fromEntries(texts.filter(([, text]) => text !== '')),
    tags: all('tags', 'pipeline_tag'),
    languages: all('languages', 'language'),
    baseModels: first('base_model', 'base_models', 'base_model_sources'),
    datasets: first('datasets', 'dataset', 'dataset_sources'),
  }
}

/**
 * The scalars and plain lists at the top level of a YAML front matter, each as a list. This is the part of YAML that
 * model cards use for these fields; nested values are passed over.
 */
function frontMatter(text: string): Map<string, string[]> {
  const fields = new Map<string, string[]>()
  const block = /^---\r?\n([\s\S]*?)\r?\n---/.exec(text)?.[1] ?? ''
  let list: string[] | undefined
  for (const line of block.split(/\r?\n/)) {
    const field = /^([\w-]+):\s*(.*)$/.exec(line)
    const item = /^\s*- +((?:(?!:(?:\s|$)).)+)$/.exec(line)
    if (field) {
      list = values(field[2]!)
      fields.set(field[1]!, list)
    } else if (item) list?.push(...values(item[1]!))
  }
  return fields
}

/** `a`, `"a"` or `[a, b]`. */
function values(text: string): string[] {
  const flow = /^\[(.*)\]$/.exec(text.trim())
  return (flow ? flow[1]!.split(',') : [text])
    .map((part) => part.trim().replace(/^(['"])(.*)\1$/, '$2'))
    .filter(Boolean)
}
