import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nameParts } from '../../gguf/model-name.js'

const PARAMETERS = 2_779_683_840

type Parts = [
  name: string | null,
  organization: string | null,
  basename: string | null,
  finetune: string | null,
  version: string | null,
  sizeLabel: string | null,
]

/** What `get_model_id_components` and `id_to_title` of gguf-py give for these ids. */
const EXPECTED: Record<string, Parts> = {
  'microsoft/phi-2': ['Phi 2', 'Microsoft', 'phi', null, '2', null],
  'phi-2': ['Phi 2', null, 'phi', null, '2', null],
  hf: ['Hf', null, null, null, null, null],
  'cognitivecomputations/dolphin-2_6-phi-2': [
    'Dolphin 2_6 Phi 2',
    'Cognitivecomputations',
    'dolphin',
    '2_6-phi',
    '2',
    null,
  ],
  'phi-2-dpo': ['Phi 2 Dpo', null, null, null, null, null],
  'TheBloke/Mistral-7B-Instruct-v0.2-GGUF': [
    'Mistral 7B Instruct v0.2 GGUF',
    'TheBloke',
    'Mistral',
    '7b-Instruct-GGUF',
    'v0.2',
    null,
  ],
  'rasyosef/phi-2-chatbot': ['Phi 2 Chatbot', 'Rasyosef', null, null, null, null],
  'phi-2-super': ['Phi 2 Super', null, null, null, null, null],
  'abacaj/phi-2-super': ['Phi 2 Super', 'Abacaj', null, null, null, null],
  'phi-2-2.7b-chat': ['Phi 2 2.7b Chat', null, 'phi-2', 'chat', null, '2.7B'],
  'phi-2-2_8b': ['Phi 2 2_8b', null, 'phi-2', null, null, '2.8B'],
  'phi-2-2b8': ['Phi 2 2b8', null, 'phi-2', null, null, '2.8B'],
  'phi-2-4k': ['Phi 2 4k', null, 'phi-2', '4k', null, null],
  'Phi-2-128k-instruct': ['Phi 2 128k Instruct', null, 'Phi-2', '128k-instruct', null, null],
  'venkycs/phi-2-instruct': ['Phi 2 Instruct', 'Venkycs', 'phi-2', 'instruct', null, null],
  'lxuechen/phi-2-dpo': ['Phi 2 Dpo', 'Lxuechen', null, null, null, null],
  './phi-2': ['Phi 2', null, 'phi', null, '2', null],
  '../phi-2': ['Phi 2', null, 'phi', null, '2', null],
  'phi2-gguf-9x': ['Phi2 Gguf 9x', null, 'phi2-gguf', '9x', null, null],
  'My Model Name': ['My Model Name', null, null, null, null, null],
  'phi-2-F16': ['Phi 2 F16', null, null, null, null, null],
  'phi-2-q4_K_M': ['Phi 2 q4_K_M', null, null, null, null, null],
  'mixtral-8x7B-v0.1': ['Mixtral 8x7B v0.1', null, 'mixtral', null, 'v0.1', '8x7B'],
  'phi-2-small-3B': ['Phi 2 Small 3B', null, 'phi-2-small', null, null, '3B'],
  'phi-2--x': ['Phi 2 X', null, null, null, null, null],
  'v2-phi': ['v2 Phi', null, null, null, null, null],
  '2-phi': ['2 Phi', null, null, null, null, null],
  'phi-2-v1.5-beta': ['Phi 2 v1.5 Beta', null, null, null, null, null],
  'orca-2-phi-2-lora': ['Orca 2 Phi 2 Lora', null, 'orca-2-phi-2', 'lora', null, null],
  'a/b/c-2': ['B/C 2', 'A', 'b/c', null, '2', null],
  'phi-2-3b-3B': ['Phi 2 3b 3B', null, 'phi-2', null, null, '3B'],
  'UPPER-case-thing-2': ['UPPER Case Thing 2', null, 'UPPER-case-thing', null, '2', null],
  'phi-2-sft-out.v2': ['Phi 2 Sft Out.V2', null, null, null, null, null],
  'phi-2.5-iter3-final': ['Phi 2.5 Iter3 Final', null, null, null, null, null],
}

for (const [id, expected] of Object.entries(EXPECTED)) {
  test(`${id} is taken apart as by llama.cpp`, () => {
    const { name, organization, basename, finetune, version, sizeLabel } = nameParts(id, PARAMETERS)
    const found = [name, organization, basename, finetune, version, sizeLabel].map((part) => part ?? null)
    assert.deepEqual(found, expected)
  })
}

test('an id without a name says nothing', () => {
  for (const id of ['', ' ', 'org/', '/']) assert.deepEqual(nameParts(id, PARAMETERS), {})
})
