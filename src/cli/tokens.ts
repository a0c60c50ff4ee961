import { defineCommand } from './command.js'
import { UsageError } from './errors.js'
import { readText } from './input.js'
import { withModel } from './load.js'
import { fileFlag, jsonFlag, loadFlags, loadOptions } from './options.js'
import { formatTable, write, writeJson } from './output.js'

export const tokens = defineCommand({
  name: 'tokens',
  usage: 'tokens [options] <text…>',
  summary: 'Show how a text is split into tokens',
  notes:
    'The text is the arguments, the file, or standard input (- or piped): every byte counts, the last newline too.',
  options: {
    count: { type: 'boolean', doc: 'Print only how many there are', group: 'Output:' },
    decode: { type: 'boolean', doc: 'The other way round: token ids in, their text out', group: 'Text:' },
    special: {
      type: 'boolean',
      doc: 'Read <|endoftext|> in the text as the token (--no-special: as text)',
      default: true,
      group: 'Text:',
    },
    ...fileFlag,
    ...jsonFlag,
    ...loadFlags,
  },
  examples: [
    ['phi2 tokens "Hello world"', 'ids and their texts'],
    ['phi2 tokens --count --file article.txt', 'does it fit the context?'],
    ['phi2 tokens --decode 15496 995', 'the text of token ids'],
  ],
  async run({ values, words, context }) {
    const { count = false, decode = false, json = false, special } = values
    if (decode && (count || json || special !== undefined)) {
      throw new UsageError('--decode prints text: leave out --count, --json and --special.')
    }
    if (count && json) throw new UsageError('--count prints a number and --json a list: choose one.')
    const text = await readText({ words, file: values.file }, context, decode ? 'token id' : 'text')
    const ids = decode ? readIds(text) : []
    await withModel(context, loadOptions(values), async (phi2) => {
      if (decode) return write(context.stdout, endLine(phi2.detokenize(ids)))
      const found = await phi2.tokenize(text, special === undefined ? {} : { special })
      if (count) return write(context.stdout, `${found.length}\n`)
      const list = found.map((id) => ({ id, text: phi2.tokenText(id) }))
      if (json) return writeJson(context.stdout, list)
      const rows = list.map((token) => [String(token.id), JSON.stringify(token.text)])
      const lines = context.stdout.isTTY
        ? `${formatTable([['id', 'text'], ...rows])}\n`
        : rows.map((row) => `${row.join('\t')}\n`).join('')
      await write(context.stdout, lines)
    })
    return 0
  },
})

function readIds(text: string): number[] {
  const parts = text.split(/[\s,[\]]+/).filter((part) => part !== '')
  const wrong = parts.find((part) => !/^\d+$/.test(part))
  if (wrong !== undefined || parts.length === 0) {
    throw new UsageError(`Expected token ids separated by spaces or commas, found ${JSON.stringify(wrong ?? text)}.`)
  }
  return parts.map(Number)
}

function endLine(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`
}
