import assert from 'node:assert/strict'
import { once } from 'node:events'
import { truncateSync, writeFileSync } from 'node:fs'
import { copyFile, mkdir, readdir, readFile, stat, symlink, unlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type ConvertOptions, convert, readHeader, writeGguf } from '../../gguf/index.js'
import { noTmpfs, smallDisk } from '../helpers/tmpfs.js'
import { temporaryFolder, writeCheckpoint, writeJson } from './gguf-fixture.js'

/** A small checkpoint in a folder of that name, and a place for files. */
async function setUp(t: TestContext, name = 'small') {
  const folder = await temporaryFolder(t)
  const from = join(folder, name)
  await mkdir(from, { recursive: true })
  await writeCheckpoint(from)
  const out = await temporaryFolder(t)
  return { from, out, to: join(out, 'x.gguf') }
}

async function keysOf(options: ConvertOptions): Promise<Record<string, unknown>> {
  const { path } = await convert(options)
  return Object.fromEntries([...(await readHeader(path)).metadata].map(([key, { value }]) => [key, value]))
}

test('verify gives the same file, and its progress rises over both halves to 1', async (t) => {
  const { from, out, to } = await setUp(t)
  for (const outtype of ['f32', 'q8_0'] as const) {
    const fractions: number[] = []
    await convert({ from, to: join(out, 'plain.gguf'), outtype })
    await convert({ from, to, outtype, verify: true, onProgress: (fraction) => fractions.push(fraction) })
    assert.ok((await readFile(to)).equals(await readFile(join(out, 'plain.gguf'))))
    assert.ok(fractions.every((fraction, index) => fraction >= (fractions[index - 1] ?? 0) && fraction <= 1))
    assert.equal(fractions.at(-1), 1)
    assert.ok(fractions.filter((fraction) => fraction > 0.5).length > 10)
  }
})

test('half a surrogate pair is stored as U+FFFD, and a number that does not fit is left out', async (t) => {
  const { from, to } = await setUp(t)
  await writeFile(join(from, 'added_tokens.json'), '{"\\ud83d": 14, "\\ud83d\\ude00": 15}')
  await writeFile(join(from, 'generation_config.json'), '{"temperature": 1e300, "top_k": 1e10, "top_p": 0.9}')
  const keys = await keysOf({ from, to, verify: true })
  assert.deepEqual((keys['tokenizer.ggml.tokens'] as string[]).slice(14, 16), ['\ufffd', '😀'])
  const sampling = Object.entries(keys).filter(([key]) => key.startsWith('general.sampling.'))
  assert.deepEqual(sampling, [['general.sampling.top_p', Math.fround(0.9)]])
})

test('a file that is not what was written does not get its name', async (t) => {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'x.gguf')
  await writeFile(path, 'the older one')
  let asked = 0
  // gives other bytes when it is read back, as a disk or a memory that lost a bit would
  const data = () => [new Uint8Array([1, 2, 3, 4, 5, 6, 7, asked++])]
  const tensors = [{ name: 'a', type: 'f32' as const, shape: [2], data }]
  await assert.rejects(writeGguf(path, { metadata: new Map(), tensors, verify: true }), {
    code: 'PHI2_IO',
    message: /the data of a is not what was written/,
  })
  assert.deepEqual(await readdir(folder), ['x.gguf'])
  assert.equal(await readFile(path, 'utf8'), 'the older one')
})

test('an abort while the file is read back leaves nothing', async (t) => {
  const { from, out, to } = await setUp(t)
  const controller = new AbortController()
  const onProgress = (fraction: number) => {
    if (fraction > 0.75) controller.abort(new Error('enough'))
  }
  await assert.rejects(convert({ from, to, verify: true, signal: controller.signal, onProgress }), /enough/)
  assert.deepEqual(await readdir(out), [])
})

test('a disk that is too small is noticed before anything is written, with both figures', {
  skip: noTmpfs,
}, async (t) => {
  const { from, to: elsewhere } = await setUp(t)
  const { bytes } = await convert({ from, to: elsewhere, outtype: 'f16' })
  const disk = smallDisk(t, 256 * 1024)
  await assert.rejects(
    convert({ from, to: join(disk, 'x.gguf'), outtype: 'f16' }),
    (error: Error & { code: string }) => {
      assert.equal(error.code, 'PHI2_NO_SPACE')
      assert.ok(error.message.includes(`(${bytes} bytes)`) && error.message.includes('(262144 bytes)'), error.message)
      return true
    },
  )
  assert.deepEqual(await readdir(disk), [])
})

test('a disk that fills up meanwhile is an error of its own, and the half of a file goes', {
  skip: noTmpfs,
}, async (t) => {
  const { from } = await setUp(t)
  const disk = smallDisk(t, 2 * 1024 * 1024)
  const other = join(disk, 'other')
  // somebody else takes what is left
  const onProgress = (fraction: number) => {
    if (fraction > 0.1) fill(other)
  }
  await assert.rejects(convert({ from, to: join(disk, 'x.gguf'), outtype: 'f16', onProgress }), {
    code: 'PHI2_NO_SPACE',
    message: /x\.gguf cannot be written: ENOSPC/,
  })
  assert.deepEqual(await readdir(disk), ['other'])
})

function fill(path: string): void {
  try {
    writeFileSync(path, new Uint8Array(2 * 1024 * 1024), { flag: 'wx' })
  } catch {
    // as much as there was room for
  }
}

test('a shard that is cut off while it is read is named, and nothing stays', async (t) => {
  const { from, out, to } = await setUp(t)
  const shard = join(from, 'model.safetensors')
  const { size } = await stat(shard)
  const onProgress = () => truncateSync(shard, size / 2)
  await assert.rejects(convert({ from, to, onProgress }), {
    code: 'PHI2_INVALID_CHECKPOINT',
    message: /model\.safetensors ended while it was read/,
  })
  assert.deepEqual(await readdir(out), [])
})

test('an older file is replaced, or kept where overwrite is false', async (t) => {
  const { from, to } = await setUp(t)
  await writeFile(to, 'old')
  await assert.rejects(convert({ from, to, overwrite: false }), { code: 'PHI2_IO', message: /x\.gguf exists already/ })
  assert.equal(await readFile(to, 'utf8'), 'old')
  await convert({ from, to })
  assert.equal((await readFile(to)).toString('latin1', 0, 4), 'GGUF')
})

test('a place where no file can be written is noticed before the work', async (t) => {
  const { from, out } = await setUp(t)
  const socket = join(out, 'socket')
  const server = createServer().listen(socket)
  t.after(() => server.close())
  await once(server, 'listening')
  const onProgress = () => assert.fail('it has begun')
  for (const [to, message] of [
    [out, /is a folder\. Expected the name/],
    [`${join(out, 'new')}/`, /new\/ is a folder/],
    [join(out, 'new', 'x.gguf'), /x\.gguf cannot be written: ENOENT/],
    [socket, /is no regular file/],
  ] as const) {
    await assert.rejects(convert({ from, to, onProgress }), { code: 'PHI2_IO', message })
  }
  assert.deepEqual(await readdir(out), ['socket'])
})

test('no file of the checkpoint is ever the target, whatever it is called', async (t) => {
  const { from, out } = await setUp(t)
  const weights = join(from, 'model.safetensors')
  const before = await readFile(weights)
  await symlink(weights, join(out, 'link.gguf'))
  await symlink('nowhere', join(from, 'dangling'))
  for (const to of [weights, join(out, 'link.gguf'), join(from, 'config.json')]) {
    await assert.rejects(convert({ from, to }), { name: 'RangeError', code: 'PHI2_INVALID_OPTION' })
  }
  assert.ok((await readFile(weights)).equals(before))
  const inside = join(from, 'x.gguf')
  for (const outtype of ['f16', 'f32'] as const) await convert({ from, to: inside, outtype })
  assert.equal((await keysOf({ from, to: inside }))['general.file_type'], 1)
})

test('the source is what is given, else what pull noted, else what the tools of Hugging Face left', async (t) => {
  const { from, to } = await setUp(t)
  const sources = async (options: Partial<ConvertOptions> = {}) => {
    const keys = await keysOf({ from, to, ...options })
    return [keys['general.source.repo_url'], keys['general.source.revision']]
  }
  const commit = 'ef382358ec9e382308935a992d908de099b64c23'
  const other = '834565c23f9b28b96ccbeabe614dd906b6db551a'
  assert.deepEqual(await sources(), [undefined, undefined])

  const notes = join(from, '.cache', 'huggingface', 'download')
  await mkdir(notes, { recursive: true })
  await writeFile(join(notes, 'config.json.metadata'), `${commit}\n0123\n1706000000.5\n`)
  await writeFile(join(notes, 'README.md.metadata'), `${other}\n0123\n1706000000.5\n`)
  await writeFile(join(notes, 'model.safetensors.metadata'), `${commit}\n4567\n1706000000.5\n`)
  assert.deepEqual(await sources(), [undefined, commit])
  await writeFile(join(notes, 'model.safetensors.metadata'), `${other}\n4567\n1706000000.5\n`)
  assert.deepEqual(await sources(), [undefined, undefined])

  const own = join(from, 'phi2-source.json')
  await writeJson(own, { repository: 'microsoft/phi-2', revision: commit })
  assert.deepEqual(await sources(), ['https://huggingface.co/microsoft/phi-2', commit])
  const url = 'https://modelscope.cn/models/AI-ModelScope/phi-2'
  await writeJson(own, { repository: 'AI-ModelScope/phi-2', revision: 'master', url })
  assert.deepEqual(await sources(), [url, 'master'])
  await writeJson(own, { repository: '../../etc', revision: 'a b', url: 'file:///etc/passwd' })
  assert.deepEqual(await sources(), [undefined, undefined])
  await writeFile(own, '{')
  assert.deepEqual(await sources({ source: { repository: 'a/b', revision: 'c' } }), ['https://huggingface.co/a/b', 'c'])
})

test('in the cache of Hugging Face the path names repository, revision and the model', async (t) => {
  const commit = 'ef382358ec9e382308935a992d908de099b64c23'
  const { from, to } = await setUp(t, join('models--microsoft--phi-2', 'snapshots', commit))
  const keys = await keysOf({ from, to })
  assert.equal(keys['general.source.repo_url'], 'https://huggingface.co/microsoft/phi-2')
  assert.equal(keys['general.source.revision'], commit)
  assert.deepEqual(
    ['name', 'organization', 'version', 'basename'].map((key) => keys[`general.${key}`]),
    ['Phi 2', 'Microsoft', '2', 'phi'],
  )
})

test('a fine-tune’s card, sampling, chat template and added tokens become keys in the order of llama.cpp', async (t) => {
  const { from, to } = await setUp(t, 'phi-2-tune-chat')
  const card = [
    '---',
    'license: other',
    'license_name: microsoft-research-license',
    'license_link: LICENSE',
    'base_model: microsoft/phi-2',
    'datasets:',
    '  - HuggingFaceH4/ultrachat_200k',
    '  - https://huggingface.co/datasets/x/y-2',
    '  - alpaca',
    'model_creator: Somebody',
    'url: https://example.org/paper',
    'repo_url: https://example.org/repo',
    'language: [en, de]',
    `tags: ["a", 'b']`,
    'inference: false',
    '---',
  ]
  await writeFile(join(from, 'README.md'), card.join('\n'))
  await writeJson(join(from, 'generation_config.json'), { temperature: 0.5, top_k: 40, repetition_penalty: 1.25 })
  await writeJson(join(from, 'tokenizer_config.json'), {
    add_bos_token: true,
    add_eos_token: false,
    eos_token: '<|endoftext|>',
    chat_template: '{{ messages }}',
  })
  const keys = Object.entries(await keysOf({ from, to, outtype: 'f16', source: { revision: 'r1' } }))
  // the general keys are what gguf-py's Metadata.load and set_gguf_meta_model gave for these files, and the revision
  assert.deepEqual(
    keys.slice(
      0,
      keys.findIndex(([key]) => key.startsWith('phi2.')),
    ),
    [
      ['general.architecture', 'phi2'],
      ['general.type', 'model'],
      ['general.sampling.top_k', 40],
      ['general.sampling.temp', 0.5],
      ['general.sampling.penalty_repeat', 1.25],
      ['general.name', 'Phi 2 Tune Chat'],
      ['general.author', 'Somebody'],
      ['general.finetune', 'chat'],
      ['general.basename', 'phi-2-tune'],
      ['general.size_label', '626K'],
      ['general.license', 'other'],
      ['general.license.name', 'microsoft-research-license'],
      ['general.license.link', 'LICENSE'],
      ['general.source.url', 'https://example.org/paper'],
      ['general.source.repo_url', 'https://example.org/repo'],
      ['general.source.revision', 'r1'],
      ['general.base_model.count', 1],
      ['general.base_model.0.name', 'Phi 2'],
      ['general.base_model.0.version', '2'],
      ['general.base_model.0.organization', 'Microsoft'],
      ['general.base_model.0.repo_url', 'https://huggingface.co/microsoft/phi-2'],
      ['general.dataset.count', 3],
      ['general.dataset.0.name', 'Ultrachat_200K'],
      ['general.dataset.0.organization', 'HuggingFaceH4'],
      ['general.dataset.0.repo_url', 'https://huggingface.co/HuggingFaceH4/ultrachat_200k'],
      ['general.dataset.1.repo_url', 'https://huggingface.co/datasets/x/y-2'],
      ['general.dataset.2.name', 'Alpaca'],
      ['general.tags', ['a', 'b']],
      ['general.languages', ['en', 'de']],
    ],
  )
  const rest = Object.fromEntries(keys)
  assert.equal(rest['tokenizer.ggml.add_bos_token'], true)
  assert.equal(rest['tokenizer.ggml.add_eos_token'], false)
  assert.equal(keys.at(-1)![0], 'tokenizer.chat_template')
  assert.equal(keys.at(-1)![1], '{{ messages }}')
})

test('a copy of a checkpoint without its tokenizer is refused before the target is touched', async (t) => {
  const { from, out, to } = await setUp(t)
  await copyFile(join(from, 'config.json'), join(out, 'kept'))
  await unlink(join(from, 'vocab.json'))
  await assert.rejects(convert({ from, to }), { code: 'PHI2_INVALID_CHECKPOINT', message: /no vocabulary/ })
  assert.deepEqual(await readdir(out), ['kept'])
})
