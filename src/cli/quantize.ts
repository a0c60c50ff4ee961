import { FILE_TYPES, type FileType, quantizeType } from '../../gguf/file-types.js'
import type { QuantizeResult, TensorType } from '../../gguf/quantize.js'
import { defineCommand } from './command.js'
import { UsageError } from './errors.js'
import { forceFlag, jsonFlag } from './options.js'
import { formatBytes, formatTable, write, writeJson } from './output.js'
import { ProgressLine } from './progress-line.js'

/** Of a full-size Phi-2. */
const PARAMETERS = 2_779_683_840

export const quantize = defineCommand({
  name: 'quantize',
  usage: 'quantize [options] <file> <type>',
  summary: 'Make a GGUF file smaller by storing its weights in fewer bits',
  notes:
    'Best from F16, BF16 or F32, as phi2 convert makes them. q4_k_m is a good middle: a third of F16’s size and little ' +
    'loss; q6_k and q8_0 lose nearly nothing. Types of less than 4 bits gain much by an importance matrix, and the ' +
    'smallest need one: phi2 imatrix. phi2 quantize --types lists all types.',
  options: {
    output: {
      type: 'string',
      alias: 'o',
      doc: 'The file to write (default: beside the input, under its name with the other type)',
      group: 'Output:',
    },
    ...forceFlag,
    dryRun: { type: 'boolean', doc: 'Only tell what the file would be like', group: 'Output:' },
    types: {
      type: 'boolean',
      doc: 'List the types, what they cost, and those that do not suit Phi-2',
      group: 'Output:',
    },
    imatrix: {
      type: 'string',
      doc: 'Importance matrix: a file of phi2 imatrix or of llama.cpp',
      group: 'Quantization:',
    },
    pure: { type: 'boolean', doc: 'Every matrix in the same type, none spared', group: 'Quantization:' },
    outputTensorType: { type: 'string', doc: 'Type of the output matrix, such as q8_0', group: 'Quantization:' },
    tokenEmbeddingType: { type: 'string', doc: 'Type of the token embeddings', group: 'Quantization:' },
    leaveOutputTensor: { type: 'boolean', doc: 'Leave the output matrix as it is', group: 'Quantization:' },
    allowRequantize: {
      type: 'boolean',
      doc: 'Take a file that is quantized already, which loses more than starting from F16',
      group: 'Quantization:',
    },
    threads: { type: 'integer', doc: 'Default: the number of processors', group: 'Quantization:' },
    ...jsonFlag,
  },
  examples: [
    ['phi2 quantize phi-2-f16.gguf q4_k_m', 'phi-2-q4_k_m.gguf'],
    ['phi2 quantize phi-2-f16.gguf iq3_m --imatrix i.gguf', 'smaller, with less loss'],
    ['phi2 quantize phi-2-f16.gguf q5_k_m --dry-run', 'how large would it be?'],
  ],
  async run({ values, words, context }) {
    const { types = false, json = false, output: to, force: overwrite = false, ...options } = values
    if (types) {
      await (json ? writeJson(context.stdout, typeList()) : write(context.stdout, `${formatTypes()}\n`))
      return 0
    }
    const [from, given, extra] = words
    if (from === undefined || given === undefined) {
      throw new UsageError('phi2 quantize needs a file and a type: phi2 quantize phi-2-f16.gguf q4_k_m.')
    }
    if (extra !== undefined) {
      throw new UsageError(
        `phi2 quantize takes one file and one type, found ${extra} as well; the output is named by -o.`,
      )
    }
    const type = quantizeType(given)
    const { quantize } = await import('../../gguf/quantize.js')
    const progress = new ProgressLine(context.stderr, `quantizing to ${type}`)
    try {
      const result = await quantize({
        ...options,
        outputTensorType: options.outputTensorType?.toLowerCase() as TensorType | undefined,
        tokenEmbeddingType: options.tokenEmbeddingType?.toLowerCase() as TensorType | undefined,
        from,
        to,
        type,
        overwrite,
        signal: context.signal,
        onProgress: (fraction) => progress.update(fraction),
      })
      progress.end()
      await (json ? writeJson(context.stdout, result) : write(context.stdout, `${formatResult(result)}\n`))
    } finally {
      progress.end()
    }
    return 0
  },
})

function formatResult({ path, type, bytes, bitsPerWeight, tensorTypes, fallbacks }: QuantizeResult): string {
  const subject = path === undefined ? `It would be ${type}` : `${path}: ${type}`
  const lines = [
    `${subject}, ${formatBytes(bytes)} (${bytes} bytes), ${bitsPerWeight.toFixed(2)} bits per weight`,
    formatTable([
      ['tensors', 'type', 'size'],
      ...tensorTypes.map((entry) => [String(entry.tensors), entry.type, formatBytes(entry.bytes)]),
    ]),
  ]
  if (fallbacks.length > 0) {
    const [{ wanted, type: taken, name }] = fallbacks as [(typeof fallbacks)[number]]
    lines.push(
      `${fallbacks.length} tensors have rows that do not fill whole blocks, and another type: ${name} ${taken} instead of ${wanted}${fallbacks.length > 1 ? ' …' : ''}`,
    )
  }
  return lines.join('\n')
}

function typeList() {
  return Object.entries<FileType>(FILE_TYPES).map(([name, { id, bits, imatrix, refusal }]) => {
    return { name, id, bitsPerWeight: bits, imatrix, ...(refusal !== undefined && { refusal }) }
  })
}

function formatTypes(): string {
  const list = typeList()
  const offered = list.filter(({ refusal }) => refusal === undefined)
  const refused = list.filter(({ refusal }) => refusal !== undefined)
  return [
    formatTable([
      ['type', 'bits per weight', 'size of Phi-2', 'importance matrix'],
      ...offered.map(({ name, bitsPerWeight, imatrix }) => {
        return [name, bitsPerWeight.toFixed(2), formatBytes((bitsPerWeight * PARAMETERS) / 8), imatrix]
      }),
    ]),
    formatTable([['not for Phi-2', 'because'], ...refused.map(({ name, refusal }) => [name, refusal!])]),
  ].join('\n\n')
}
