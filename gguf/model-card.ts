import { join } from 'node:path'
import { readText } from './checkpoint-json.js'

/** What a checkpoint's README.md says about itself, as far as GGUF has keys for it. */
export interface ModelCard {
  license?: string
  licenseName?: string
  licenseLink?: string
  tags: string[]
  languages: string[]
}

/** Reads the front matter of README.md; without one, nothing is known. */
export async function readModelCard(folder: string): Promise<ModelCard> {
  const fields = frontMatter((await readText(join(folder, 'README.md'))) ?? '')
  const first = (key: string) => fields.get(key)?.[0]
  const [license, licenseName, licenseLink] = [first('license'), first('license_name'), first('license_link')]
  return {
    ...(license !== undefined && { license }),
    ...(licenseName !== undefined && { licenseName }),
    ...(licenseLink !== undefined && { licenseLink }),
    tags: [...(fields.get('tags') ?? []), ...(fields.get('pipeline_tag') ?? [])],
    languages: fields.get('language') ?? [],
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
    const item = /^\s*- +([^:]+)$/.exec(line)
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
