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
  const first = (...keys: string[]) => keys.map((key) => all(key)).find(({ length }) => length > 0) ?? []
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
  const block = /^---\n([\s\S]*?\n)??---\n/.exec(`${text.replaceAll('\r\n', '\n')}\n`)?.[1] ?? ''
  // a field goes on until the next key at the beginning of a line
  const fields = block.matchAll(/^([\w-]+):(?=\s)(.*)\n((?:(?![\w-]+:\s).*\n)*)/gm)
  return new Map(Array.from(fields, ([, key, first, rest]) => [key!, values(first!.trim(), rest!.split('\n'))]))
}

/** @param lines those below the one with the key */
function values(first: string, lines: readonly string[]): string[] {
  const trimmed = lines.map((line) => line.trim())
  if (/^[|>][-+\d]*$/.test(first)) {
    const text = trimmed.join('\n').trim()
    return [first.startsWith('|') ? text : text.replace(/(\n*)\n/g, (_, more) => more || ' ')]
  }
  const uncommented = trimmed.filter((line) => !line.startsWith('#'))
  const all = [first, ...uncommented].join(' ').trim()
  if (first.startsWith('[')) return (all.replace(/\] +#.*/, '').match(FLOW_ITEM) ?? []).flatMap(scalar)
  if (first !== '' && !first.startsWith('#')) return scalar(all)
  return uncommented.flatMap((line) => scalar(/^- +(["'].*|(?:(?!:(?:\s|$)).)+)$/.exec(line)?.[1] ?? ''))
}

const QUOTED = /"[^"\\]*(?:\\.[^"\\]*)*"|'[^']*(?:''[^']*)*'/
const FLOW_ITEM = new RegExp(`${QUOTED.source}|[^\\s,'"[\\]][^,\\]]*`, 'g')
const SCALAR = new RegExp(`^(?:${QUOTED.source}|.*?(?=\\s#|$))`, 's')

/** One text, or none for YAML's null. A plain one ends at a comment. */
function scalar(text: string): string[] {
  const found = SCALAR.exec(text.trim())![0].trim()
  const [, quote, inner] = /^(["'])(.*)\1$/s.exec(found) ?? []
  if (quote === "'") return [inner!.replaceAll("''", "'")]
  if (quote) return [inner!.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped))]
  return ['', '~', 'null'].includes(found) ? [] : [found]
}
