import { basename } from 'node:path'
import type { ImatrixResult } from '../../gguf/imatrix.js'
import { defineCommand } from './command.js'
import { noteModel } from './load.js'
import { forceFlag, jsonFlag } from './options.js'
import { formatBytes, write, writeJson } from './output.js'
import { formatChunks, readingFlags, readingOptions, readTextFile, withReadingProgress } from './reading.js'

export const imatrix = defineCommand({
  name: 'imatrix',
  usage: 'imatrix [options] <file>',
  summary: 'Compute an importance matrix from a text, for phi2 quantize',
  notes:
    'The model, best in F16, reads the text (- is standard input), and the file notes which inputs of its matrices ' +
    'become large, so that quantizing keeps the weights behind them exact. The file is the one that llama.cpp’s tool ' +
    'writes.',
  options: {
    output: { type: 'string', alias: 'o', doc: 'File to write', default: 'imatrix.gguf', group: 'Output:' },
    ...forceFlag,
    processOutput: { type: 'boolean', doc: 'The output layer too', group: 'Reading:' },
    ...readingFlags,
    ...jsonFlag,
  },
  examples: [
    ['phi2 imatrix notes.txt -m f16.gguf -o notes.gguf', 'from a text of the kind that matters'],
    ['phi2 imatrix notes.txt -m f16.gguf --chunks 100', 'the first 51,200 tokens'],
  ],
  async run({ values, words, context }) {
    const { force: overwrite = false, json = false, output: to = 'imatrix.gguf', processOutput } = values
    const options = readingOptions(values)
    const text = await readTextFile(words, context, 'imatrix')
    const { computeImatrix } = await import('../../gguf/imatrix.js')
    const dataset = words[0] === '-' ? 'stdin' : basename(words[0]!)
    const result = await withReadingProgress(context, 'imatrix', (more) =>
      computeImatrix({ ...options, ...more, text, to, overwrite, dataset, processOutput }),
    )
    await noteModel(context, options.model, result)
    if (json) await writeJson(context.stdout, result)
    else await write(context.stdout, `${formatResult(result)}\n`)
    return 0
  },
})

function formatResult(result: ImatrixResult): string {
  const { path, bytes, entries, perplexity } = result
  const source = `${formatChunks(result)}, perplexity ${perplexity.toFixed(4)}`
  return `${path}: ${entries} matrices, ${formatBytes(bytes)}, from ${source}`
}
