import { fileTypeName } from '../../gguf/file-types.js'
import type { TypeResult, TypesComparison } from '../bench/compare-types.js'
import { isSame } from '../bench/search.js'
import type { TuneResult, TuneTrial } from '../bench/tune.js'
import type { TunedGain, TunedProfile } from '../tuned/profile.js'
import type { TunedOptions } from '../types.js'
import { formatSpeed } from './bench.js'
import { formatTuned } from './info.js'
import { formatBytes, formatTable } from './output.js'

export function formatTuning(result: TuneResult): string {
  const { info, key, stages, confirmation, promptTokens, predictTokens, rounds } = result
  const rows = stages.flatMap(({ name, trials, chosen }) =>
    trials.map((trial, index) => [index === 0 ? name : '', index === chosen ? '*' : '', ...trialCells(trial)]),
  )
  if (confirmation) {
    rows.push(['in the end: defaults', '', ...trialCells(confirmation.defaults)])
    rows.push(['chosen', '', ...trialCells(confirmation.chosen)])
  }
  const processors = `${key.processors} ${key.processors === 1 ? 'processor' : 'processors'}`
  return [
    `${info.name}, ${info.fileType}, ${formatBytes(info.size)}, on ${key.cpu} (${processors}), llama.cpp ${key.llama}`,
    `A prompt of ${promptTokens} tokens and an answer of ${predictTokens}; ${rounds === 1 ? 'one round' : `${rounds} rounds, the time is that of the middle one`}.`,
    '',
    formatTable([
      ['measured', '', 'threads', 'batch', 'micro-batch', 'flash attention', 'prompt t/s', 'answer t/s', 'time'],
      ...rows,
    ]),
    '',
    verdict(result),
    result.path === undefined
      ? 'Nothing was stored.'
      : `Stored in ${result.path}: used for models of this type and size, unless --no-tuned (tuned: false) is given.`,
  ].join('\n')
}

function trialCells({ options, prefill, decode, totalMs }: TuneTrial): string[] {
  const { threads, batchSize, microBatchSize, flashAttention } = options
  return [
    ...[threads, batchSize, microBatchSize].map(String),
    flashText(flashAttention),
    formatSpeed(prefill),
    formatSpeed(decode),
    totalMs < 1000 ? `${Math.round(totalMs)} ms` : `${(totalMs / 1000).toFixed(2)} s`,
  ]
}

function flashText(flash: TunedOptions['flashAttention']): string {
  return flash === 'auto' ? flash : flash ? 'on' : 'off'
}

function verdict({ options, defaults, gain, confirmation }: TuneResult): string {
  if (isSame(options, defaults)) {
    const doubt = confirmation ? ' What looked better did not prove so against them.' : ''
    return `The defaults are best here: ${formatTuned(options)}.${doubt}`
  }
  return `Best is ${formatTuned(options)}: ${formatGain(gain)}.`
}

/** `8 % sooner than with the defaults (prompt 1.12 ×, answer 1.03 ×)` */
function formatGain({ total, prefill, decode }: TunedGain): string {
  const percent = (100 * (1 - 1 / total)).toFixed(1)
  return `${percent} % sooner than with the defaults (prompt ${prefill.toFixed(2)} ×, answer ${decode.toFixed(2)} ×)`
}

export function formatProfiles(profiles: readonly TunedProfile[]): string {
  return formatTable([
    ['processor', 'type', 'size', 'options', 'gain', 'measured'],
    ...profiles.map(({ key, options, gain, date }) => [
      `${key.cpu} (${key.processors})${key.device === 'CPU' ? '' : `, ${key.device}`}`,
      `${fileTypeName(key.fileType) ?? key.fileType}${key.kvType === 'f16' ? '' : `, KV ${key.kvType}`}`,
      formatBytes(key.bytes),
      formatTuned(options),
      `${gain.total.toFixed(2)} ×`,
      date.slice(0, 10),
    ]),
  ])
}

export function formatTypes(result: TypesComparison): string {
  const { types, fastest, recommended, reference, model, device, threads } = result
  const tests = [`pp${result.promptTokens} t/s`, `tg${result.predictTokens} t/s`]
  const quality = reference ? ['perplexity', 'of the model’s'] : []
  const front = types.filter(({ best }) => best).map(({ type }) => type)
  const lines = [
    `${model ?? 'Random weights of Phi-2’s size'}, ${device}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    '',
    formatTable([['type', 'bits/weight', 'size', ...tests, ...quality], ...types.map(typeCells)]),
    '',
  ]
  if (reference === undefined) {
    lines.push(
      `* No other has as many bits per weight and is as fast: ${front.join(', ')}. The fastest is ${fastest}.`,
      'What a type loses was not measured: for that give --perplexity TEXT and --model, an F16 file.',
    )
  } else {
    lines.push(
      `* No other is as fast and loses as little: ${front.join(', ')}. The fastest is ${fastest}.`,
      `The model itself has a perplexity of ${reference.perplexity.toFixed(3)} ± ${reference.error.toFixed(3)}.`,
      recommended === undefined
        ? 'None of these stays within 2 % of it.'
        : `Best is ${recommended}: the fastest within 2 % of it.`,
    )
  }
  return lines.join('\n')
}

function typeCells({ type, bitsPerWeight, bytes, prefill, decode, quality, best }: TypeResult): string[] {
  return [
    best ? `${type} *` : type,
    bitsPerWeight.toFixed(2),
    formatBytes(bytes),
    formatSpeed(prefill),
    formatSpeed(decode),
    ...(quality
      ? [
          `${quality.perplexity.toFixed(3)} ± ${quality.error.toFixed(3)}`,
          `${quality.ratio.value.toFixed(4)} ± ${quality.ratio.error.toFixed(4)}`,
        ]
      : []),
  ]
}
