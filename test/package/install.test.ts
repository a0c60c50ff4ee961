import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { packageRoot } from '../../src/package-root.js'
import { ANSWER, Consumer, QUESTION, type Result, tarballs, WORKERS } from './consumer.js'
import { startRegistry } from './registry.js'

// As a user has it: phi2 and the platform's package, installed by npm into an empty project, with no compiler on the PATH.
const app = new Consumer()
before(async () => app.npmInstall(await startRegistry(tarballs().platform)))

function succeeded({ status, stdout, stderr }: Result, expected: string): void {
  assert.equal(stderr, '')
  assert.equal(stdout, expected)
  assert.equal(status, 0)
}

test('an ES module imports the installed package and gets an answer from the embedded model', async () => {
  const result = await app.program(
    'program.mjs',
    `import { Phi2 } from 'phi2'
    const phi2 = await Phi2.load()
    console.log((await phi2.ask('${QUESTION}')).text, phi2.info.embedded)
    await phi2.close()`,
  )
  succeeded(result, `${ANSWER} true\n`)
})

test('the addon is that of the platform’s package', async () => {
  const result = await app.program(
    'where.mjs',
    `import { relative } from 'node:path'
    import { systemReport } from 'phi2'
    console.log(relative(process.cwd(), systemReport().cpu.backend))`,
  )
  assert.match(result.stdout, new RegExp(`^node_modules.@phi2.${process.platform}-${process.arch}.\\S+\\n$`))
})

test('CommonJS requires it', async () => {
  const { status, stdout, stderr } = await app.program(
    'program.cjs',
    `const { Phi2, Phi2Error } = require('phi2')
    Phi2.load({ model: 'tiny' }).then(async (phi2) => {
      console.log((await phi2.ask('${QUESTION}')).text, typeof Phi2Error)
    })`,
  )
  // Node 20 and 22 say that require() of an ES module is experimental.
  assert.doesNotMatch(stderr, /Error/)
  assert.equal(stdout, `${ANSWER} function\n`)
  assert.equal(status, 0)
})

test('worker threads load it beside the main thread', async () => {
  const result = await app.program('workers.mjs', WORKERS)
  succeeded(result, `true ${ANSWER}\n`)
})

test('phi2/bench measures the installed package', async () => {
  const result = await app.program(
    'bench.mjs',
    `import { bench, compareTypes, tune } from 'phi2/bench'
    const { tests } = await bench({ model: 'tiny', prompt: 16, predict: 2, repetitions: 1 })
    console.log(tests.map(({ name, speed }) => name + (speed.mean > 0)).join(), typeof tune, typeof compareTypes)`,
  )
  succeeded(result, 'pp16true,tg2true function function\n')
})

test('the toolkit of phi2/gguf makes, quantizes, inspects, measures and downloads models', async () => {
  const result = await app.program(
    'toolkit.mjs',
    `import { readFileSync } from 'node:fs'
    import { createServer } from 'node:http'
    import { convert, inspect, listCache, perplexity, pull, quantize, synthCheckpoint } from 'phi2/gguf'
    import { Phi2 } from 'phi2'
    await synthCheckpoint({ to: 'checkpoint', layers: 1, embeddingSize: 256, heads: 4 })
    const { path } = await convert({ from: 'checkpoint', to: 'f16.gguf', verify: true })
    await quantize({ from: path, to: 'small.gguf', type: 'q4_k_m' })
    const { model, tensors } = await inspect({ source: 'small.gguf' })
    console.log(model.fileType, tensors.length)
    const measured = await perplexity({ model: path, text: 'One two three. '.repeat(100), contextSize: 64 })
    console.log(Number.isFinite(measured.perplexity))
    const server = createServer((_, answer) => answer.end(readFileSync('small.gguf')))
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = 'http://127.0.0.1:' + server.address().port + '/pulled.gguf'
    await pull({ model: url })
    server.close()
    const phi2 = await Phi2.load({ model: url })
    console.log(phi2.info.embeddingSize, (await listCache()).length)
    await phi2.close()`,
  )
  succeeded(result, 'q4_k_m 19\ntrue\n256 1\n')
})

test('npx phi2 ask answers', async () => {
  const { status, stdout } = await app.run('npx', ['phi2', 'ask', QUESTION])
  assert.equal(stdout, `${ANSWER}\n`)
  assert.equal(status, 0)
})

test('npx phi2 doctor finds the numbers right', async () => {
  const { status, stdout } = await app.run('npx', ['phi2', 'doctor'])
  assert.match(stdout, /^PASS:/m)
  assert.equal(status, 0)
})

for (const format of ['esm', 'cjs'] as const) {
  test(`an app that esbuild bundles as ${format} runs, with phi2 in node_modules beside it`, async () => {
    succeeded(await app.run(process.execPath, [await app.bundle(format)]), `${ANSWER} true\n`)
  })
}

test('a bundle alone says what must lie beside it', async () => {
  const lonely = new Consumer()
  lonely.write('app.mjs', readFileSync(join(app.folder, await app.bundle('esm')), 'utf8'))
  const { status, stderr } = await lonely.run(process.execPath, ['app.mjs'])
  assert.equal(status, 1)
  assert.match(stderr, /PHI2_BINDING_NOT_FOUND/)
  assert.match(stderr, /keeps the package itself beside the bundle/)
})

for (const [module, resolution] of [
  ['node16', 'node16'],
  ['esnext', 'bundler'],
] as const) {
  test(`the types satisfy a strict consumer under ${resolution} resolution`, async () => {
    app.write(
      'consumer.mts',
      `import { type Answer, type GenerateOptions, Phi2, Phi2Error } from 'phi2'
      import { type Inspection, inspect, pull } from 'phi2/gguf'
      const options: GenerateOptions = { maxTokens: 5, stop: ['x'] }
      const phi2: Phi2 = await Phi2.load({ model: 'tiny' })
      const answer: Answer = await phi2.ask('x', options)
      for await (const text of phi2.complete('x')) text.toUpperCase()
      const { source } = await phi2.code({ signature: 'def f():' })
      const dropped: number = (await phi2.chat().say('x')).droppedTurns
      // @ts-expect-error unknown option
      phi2.ask('x', { maxtokens: 5 })
      const { memory }: Inspection = await inspect({ source: 'tiny' })
      const total: number | undefined = memory?.total
      const { verified } = await pull({ convert: 'Q4_K_M', onProgress: ({ done }) => done.toFixed() })
      export { answer, dropped, Phi2Error, source, total, verified }`,
    )
    const modules = join(packageRoot(), 'node_modules')
    const { status, stdout } = await app.run(process.execPath, [
      join(modules, 'typescript', 'bin', 'tsc'),
      ...['--noEmit', '--strict', '--target', 'es2023', '--lib', 'es2023,esnext.disposable'],
      ...['--module', module, '--moduleResolution', resolution],
      ...['--typeRoots', join(modules, '@types'), '--types', 'node', 'consumer.mts'],
    ])
    assert.equal(stdout, '')
    assert.equal(status, 0)
  })
}
