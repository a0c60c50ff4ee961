import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TypeResult, TypesComparison } from '../../src/bench/compare-types.js'
import { summarize } from '../../src/bench/speed.js'
import type { TuneResult, TuneTrial } from '../../src/bench/tune.js'
import { bench } from '../../src/cli/bench.js'
import { program } from '../../src/cli/commands.js'
import { exitCodeOf } from '../../src/cli/errors.js'
import { runProgram } from '../../src/cli/program.js'
import { formatTuning, formatTypes } from '../../src/cli/tune-output.js'
import type { ModelInfo, TunedOptions } from '../../src/types.js'
import { fakeContext } from '../cli/fakes.js'
import '../helpers/empty-cache.js'

/** The message of the usage error that the arguments give, before anything is loaded. */
async function refusal(...args: string[]): Promise<string> {
  const error = await runProgram(program, args, fakeContext()).then(
    () => assert.fail(`${args.join(' ')} was accepted`),
    (reason: unknown) => reason,
  )
  assert.equal(exitCodeOf(error), 2, String(error))
  return (error as Error).message
}

test('phi2 tune refuses options that do not go together', async () => {
  assert.match(await refusal('tune', '--show', '--reset'), /--show and --reset do not go together/)
  assert.match(await refusal('tune', '--types', '--show'), /--show and --types/)
  assert.match(await refusal('tune', '--chunks', '3'), /no use for --chunks\. It belongs to --types/)
  assert.match(await refusal('tune', '--types', '--dry-run'), /--types has no use for --dry-run/)
  assert.match(await refusal('tune', '--show', '--prompt', '5'), /--show has no use for --prompt/)
  assert.match(await refusal('tune', '--reset', 'tiny'), /no argument here, found tiny/)
  assert.match(await refusal('tune', 'a.gguf', 'b.gguf'), /one model, found b\.gguf/)
  assert.match(await refusal('tune', 'a.gguf', '--model', 'b.gguf'), /not both/)
  assert.match(await refusal('tune', '--types', '--perplexity', 'a.txt'), /--perplexity needs --model/)
  assert.match(await refusal('tune', '--types', '--chunks', '3'), /--chunks needs --perplexity/)
  assert.match(await refusal('tune', '--types', 'q4_0,q9'), /q4_k_m.* received "q9"/)
  assert.match(await refusal('tune', '--types', 'iq1_s'), /importance matrix/)
  assert.match(await refusal('tune', 'tiny', '--prompt', '64,128'), /--prompt: expected one number, found 2/)
  assert.match(await refusal('tune', 'tiny', '--prompt', '0'), /for prompt but received 0/)
})

test('phi2 bench refuses what is no number, and a model that is named twice', async () => {
  assert.match(await refusal('bench', 'tiny', '--prompt', '5,x'), /--prompt: expected an integer, found "x"/)
  assert.match(await refusal('bench', 'tiny', '--streams', '100'), /from 1 to 64.*for streams but received 100/)
  assert.match(await refusal('bench', 'a.gguf', '--model', 'b.gguf'), /not both/)
  assert.match(await refusal('bench', '--synth', 'q9'), /received "q9"/)
  assert.equal(bench.options.prompt.default, 512)
})

const info = { name: 'phi-2', fileType: 'Q4_K - Medium', size: 1.74e9, embedded: false } as ModelInfo
const defaults: TunedOptions = { threads: 2, batchSize: 512, microBatchSize: 512, flashAttention: 'auto' }

function trial(options: Partial<TunedOptions>, prefill: number[], decode: number[], totalMs: number): TuneTrial {
  return { options: { ...defaults, ...options }, prefill: summarize(prefill), decode: summarize(decode), totalMs }
}

const tuning: TuneResult = {
  info,
  key: {
    cpu: 'Some Processor',
    processors: 2,
    llama: '0.5.0',
    backend: 'x.so',
    device: 'CPU',
    fileType: 15,
    bytes: 1.74e9,
    kvType: 'f16',
  },
  promptTokens: 512,
  predictTokens: 128,
  rounds: 3,
  defaults,
  stages: [
    {
      name: 'threads',
      trials: [trial({ threads: 1 }, [40], [16], 21_000), trial({}, [80, 82], [20, 20], 12_600)],
      chosen: 1,
    },
    { name: 'flash attention', trials: [trial({ flashAttention: false }, [90], [25], 800)], chosen: 0 },
  ],
  confirmation: {
    defaults: trial({}, [80], [20], 12_500),
    chosen: trial({ flashAttention: false }, [90], [25], 10_000),
  },
  options: { ...defaults, flashAttention: false },
  gain: { prefill: 1.125, decode: 1.25, total: 1.25 },
  path: '/cache/tuned.json',
  seconds: 100,
}

test('a tuning is shown with all that was measured, what was chosen, and what that gains', () => {
  assert.equal(
    formatTuning(tuning),
    `phi-2, Q4_K - Medium, 1.7 GB, on Some Processor (2 processors), llama.cpp 0.5.0
A prompt of 512 tokens and an answer of 128; 3 rounds, the time is that of the middle one.

measured                 threads  batch  micro-batch  flash attention  prompt t/s    answer t/s    time
threads                  1        512    512          auto             40.00 ± 0.00  16.00 ± 0.00  21.00 s
                      *  2        512    512          auto             81.00 ± 1.41  20.00 ± 0.00  12.60 s
flash attention       *  2        512    512          off              90.00 ± 0.00  25.00 ± 0.00  800 ms
in the end: defaults     2        512    512          auto             80.00 ± 0.00  20.00 ± 0.00  12.50 s
chosen                   2        512    512          off              90.00 ± 0.00  25.00 ± 0.00  10.00 s

Best is threads 2, batchSize 512, microBatchSize 512, flashAttention false: 20.0 % sooner than with the defaults (prompt 1.13 ×, answer 1.25 ×).
Stored in /cache/tuned.json: used for models of this type and size, unless --no-tuned (tuned: false) is given.`,
  )
})

test('defaults that stay are told as such', () => {
  const { path: _, ...dry } = tuning
  const same = { ...dry, options: defaults, gain: { prefill: 1, decode: 1, total: 1 } }
  const lines = formatTuning(same).split('\n').slice(-2)
  assert.deepEqual(lines, [
    'The defaults are best here: threads 2, batchSize 512, microBatchSize 512, flashAttention auto. What looked better did not prove so against them.',
    'Nothing was stored.',
  ])
  const { confirmation: __, ...undisputed } = same
  assert.match(formatTuning(undisputed), /flashAttention auto\.\nNothing/)
})

const typed = (type: TypeResult['type'], decode: number, best: boolean, ratio?: number): TypeResult => ({
  type,
  bytes: 1.6e9,
  bitsPerWeight: 4.61,
  prefill: summarize([100]),
  decode: summarize([decode]),
  ...(ratio && { quality: { perplexity: 10 * ratio, error: 0.2, ratio: { value: ratio, error: 0.003 } } }),
  best,
})
const comparison: TypesComparison = {
  types: [typed('q4_0', 25, true), typed('q4_k_m', 20, false)],
  fastest: 'q4_0',
  promptTokens: 512,
  predictTokens: 128,
  threads: 2,
  device: 'CPU',
  seconds: 1,
}

test('types without a text are shown by speed, and that nothing is known of their quality', () => {
  assert.equal(
    formatTypes(comparison),
    `Random weights of Phi-2’s size, CPU, 2 threads

type    bits/weight  size    pp512 t/s      tg128 t/s
q4_0 *  4.61         1.6 GB  100.00 ± 0.00  25.00 ± 0.00
q4_k_m  4.61         1.6 GB  100.00 ± 0.00  20.00 ± 0.00

* No other has as many bits per weight and is as fast: q4_0. The fastest is q4_0.
What a type loses was not measured: for that give --perplexity TEXT and --model, an F16 file.`,
  )
})

test('types with a text are shown with their perplexity and the one to take', () => {
  const measured: TypesComparison = {
    ...comparison,
    types: [typed('q4_0', 25, true, 1.05), typed('q4_k_m', 20, true, 1.01)],
    model: './phi-2-f16.gguf',
    reference: { perplexity: 10, error: 0.2 },
    recommended: 'q4_k_m',
  }
  assert.equal(
    formatTypes(measured),
    `./phi-2-f16.gguf, CPU, 2 threads

type      bits/weight  size    pp512 t/s      tg128 t/s     perplexity      of the model’s
q4_0 *    4.61         1.6 GB  100.00 ± 0.00  25.00 ± 0.00  10.500 ± 0.200  1.0500 ± 0.0030
q4_k_m *  4.61         1.6 GB  100.00 ± 0.00  20.00 ± 0.00  10.100 ± 0.200  1.0100 ± 0.0030

* No other is as fast and loses as little: q4_0, q4_k_m. The fastest is q4_0.
The model itself has a perplexity of 10.000 ± 0.200.
Best is q4_k_m: the fastest within 2 % of it.`,
  )
  const { recommended: _, ...none } = measured
  assert.match(formatTypes(none), /None of these stays within 2 % of it\.$/)
})
