/**
 * What a repository's or folder's name says, by the GGUF naming convention (`get_model_id_components` in
 * gguf-py/gguf/metadata.py): `microsoft/phi-2` is version 2 of phi, by microsoft.
 */
export interface NameParts {
  /** For people: `Phi 2`. */
  name?: string
  organization?: string
  basename?: string
  finetune?: string
  version?: string
  sizeLabel?: string
}

/** A model or data set that this one was made from, as far as its id says. */
export interface Ancestor {
  name?: string
  organization?: string
  version?: string
  repoUrl?: string
}

const VERSION = /^(v|iter)?\d+(\.\d+)*$/i
const TYPE = /^(i?q\d(_\w)*|b?fp?(16|32))$/i
const SIZE = /^((a|\d+x)?\d+([._]\d+)?[kmbt]\d?|small|mini|medium|large|x?xl)$/i
const FINETUNE = /^(chat|instruct|vision|lora)$/i

type Kind = 'basename' | 'sizeLabel' | 'finetune' | 'version' | 'type'

interface Word {
  text: string
  kinds: Set<Kind>
}

/** @param parameters count of weights: a size that is far from it, as in `phi-2-4k`, is the length of a context. */
export function nameParts(id: string, parameters: number): NameParts {
  if (id === '' || id.includes(' ')) return id.trim() === '' ? {} : { name: titleOf(id) }
  const slash = id.indexOf('/')
  const organization = id.slice(0, Math.max(slash, 0))
  const fullName = id.slice(slash + 1)
  if (fullName === '') return {}
  const words = classify(fullName, parameters)
  const join = (kind: Kind, found = words.filter(({ kinds }) => kinds.has(kind))) =>
    found.length > 0 ? { [kind]: found.map(({ text }) => text).join('-') } : {}
  const sizes = words.filter(({ kinds }) => kinds.has('sizeLabel'))
  const versions = words.filter(({ kinds }) => kinds.has('version') && !kinds.has('basename'))
  const rest: NameParts = {
    ...join('finetune'),
    ...join('version', versions),
    ...join(
      'sizeLabel',
      sizes.filter(({ text }, index) => sizes.findIndex((other) => other.text === text) === index),
    ),
  }
  return {
    name: titleOf(fullName),
    ...(organization !== '' && !organization.startsWith('.') && { organization: titleOf(organization) }),
    // One word alone may mean anything.
    ...(Object.keys(rest).length > 0 && join('basename')),
    ...rest,
  }
}

function classify(fullName: string, parameters: number): Word[] {
  const words = fullName
    .split('-')
    .filter((text) => text !== '')
    .map((text, index) => classifyWord(text, index, parameters))
  const sizes = words.filter(({ kinds }) => kinds.has('sizeLabel'))
  if (sizes.some(({ text }) => /\d/.test(text))) {
    for (const { text, kinds } of sizes) if (/^\p{L}+$/u.test(text)) kinds.delete('sizeLabel')
  }
  // What stands first, with its versions, is the basename; what is left over is a fine-tune.
  let atStart = true
  for (const { text, kinds } of words) {
    if (atStart && ((kinds.size === 0 && /^\p{L}/u.test(text)) || kinds.has('version'))) kinds.add('basename')
    else {
      atStart = false
      if (kinds.size === 0) kinds.add('finetune')
    }
  }
  for (const { kinds } of words.toReversed()) {
    if (!kinds.has('basename') || kinds.size === 1) break
    kinds.delete('basename')
  }
  return words
}

function classifyWord(text: string, index: number, parameters: number): Word {
  const word = (kind: Kind | undefined, shown = text): Word => ({ text: shown, kinds: new Set(kind ? [kind] : []) })
  if (VERSION.test(text)) return word('version')
  if (TYPE.test(text)) return word('type', text.toUpperCase())
  if (index > 0 && SIZE.test(text)) {
    const label = sizeText(text)
    const claimed = Number(label.slice(0, -1)) * 1000 ** Math.max(' KMBT'.indexOf(label.at(-1)!), 0)
    const isSize = Number.isNaN(claimed) || Math.abs(claimed - parameters) <= Math.floor((7 * parameters) / 8)
    return isSize ? word('sizeLabel', label) : word('finetune', label.slice(0, -1) + label.at(-1)!.toLowerCase())
  }
  return word(index > 0 && FINETUNE.test(text) ? 'finetune' : undefined)
}

/** `2_7b` and `2b7` are `2.7B`. */
function sizeText(text: string): string {
  const dotted = text.replace('_', '.').replace(/([kmbt])(\d)$/i, '.$2$1')
  return /\d[kmbt]$/.test(dotted) ? dotted.slice(0, -1) + dotted.at(-1)!.toUpperCase() : dotted
}

/** Words in lower case are capitalized, versions and acronyms left as they are. */
function titleOf(id: string): string {
  return id
    .trim()
    .replaceAll('-', ' ')
    .split(/\s+/)
    .map((word) => {
      const isLower = word === word.toLowerCase() && word !== word.toUpperCase()
      return isLower && !/^(v\d+(\.\d+)*|\d.*)$/.test(word)
        ? word.replace(/\p{L}+/gu, (run) => run[0]!.toUpperCase() + run.slice(1))
        : word
    })
    .join(' ')
}

/** `microsoft/phi-2`, or the address of a repository. */
export function ancestor(id: string, parameters: number): Ancestor {
  const isUrl = /^(https?|ssh):\/\//.test(id)
  const repository = isUrl ? /^https?:\/\/huggingface\.co\/([^/]+\/[^/]+)$/.exec(id)?.[1] : id
  const { name, organization, version } = nameParts(repository ?? '', parameters)
  const repoUrl = isUrl ? id : organization !== undefined ? huggingFaceUrl(id) : undefined
  return {
    ...(name !== undefined && { name }),
    ...(organization !== undefined && { organization }),
    ...(version !== undefined && { version }),
    ...(repoUrl !== undefined && { repoUrl }),
  }
}

export function huggingFaceUrl(repository: string): string {
  return `https://huggingface.co/${repository}`
}
