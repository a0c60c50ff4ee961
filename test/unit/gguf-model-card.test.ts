import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { readModelCard } from '../../gguf/model-card.js'
import { temporaryFolder } from './gguf-fixture.js'

async function cardOf(t: TestContext, text: string) {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'README.md'), text)
  const { tags, languages, baseModels, datasets, ...texts } = await readModelCard(folder)
  return { tags, languages, baseModels, datasets, texts }
}

// What PyYAML makes of these, which llama.cpp's converter reads model cards with.

test('comments, quotes and YAML’s null are not taken for text', async (t) => {
  const lines = ['license: mit # since January', "license_name: 'it''s # mine'", 'license_link: https://x.org/a#b']
  const nulls = ['name: null', 'model_name: "Foo: \\"Bar\\"" # why', 'version:', 'author: ~', 'description: "open']
  const { texts } = await cardOf(t, ['---', ...lines, ...nulls, '---'].join('\n'))
  assert.deepEqual(texts, {
    license: 'mit',
    licenseName: "it's # mine",
    licenseLink: 'https://x.org/a#b',
    name: 'Foo: "Bar"',
    description: '"open',
  })
})

test('lists are read in all their forms', async (t) => {
  const block = ['language: # two', '- en # English', '# none', '', '- "no"', 'base_model:', '  -   a/b', '  - c: d']
  const flow = ['tags: [', '  "a, b",', '  c]  # d, e', "datasets: [it's, 'x''y', ]", 'pipeline_tag: text-generation']
  const { texts, ...lists } = await cardOf(t, ['---', ...block, ...flow, '---', ''].join('\r\n'))
  assert.deepEqual(texts, {})
  assert.deepEqual(lists, {
    languages: ['en', 'no'],
    baseModels: ['a/b'],
    tags: ['a, b', 'c', 'text-generation'],
    datasets: ["it's", "x'y"],
  })
})

test('texts of several lines are whole', async (t) => {
  for (const [yaml, expected] of [
    ['description: |\n  # one\n\n  two\nlicense: mit', '# one\n\ntwo'],
    ['description: >-\n  one\n  two\n\n  three\nlicense: mit', 'one two\nthree'],
    ['description: one\n  two # three\nlicense: mit', 'one two'],
  ] as const) {
    assert.deepEqual((await cardOf(t, `---\n${yaml}\n---\n`)).texts, { description: expected, license: 'mit' })
  }
})

test('what is no front matter says nothing, and what is odd takes no time', async (t) => {
  const empty = { tags: [], languages: [], baseModels: [], datasets: [], texts: {} }
  const odd = [`tags: a${' '.repeat(1e5)}b`, `tags: ${'['.repeat(1e5)}`, `x: ${`'"`.repeat(1e5)}`, '- '.repeat(1e5)]
  for (const text of [
    '',
    'license: mit',
    '---\n---\ntext\nlicense: mit\n---\n',
    '---\nlicense: mit\n',
    ' ---\na: b\n---',
  ])
    assert.deepEqual(await cardOf(t, text), empty, text)
  const { texts } = await cardOf(t, ['---', ...odd, 'license: mit', '---'].join('\n'))
  assert.deepEqual(texts, { license: 'mit' })
})
