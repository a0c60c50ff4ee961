import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { packageRoot } from '../../src/package-root.js'
import { temporaryFolder } from '../helpers/model.js'

// The packed tarball in an empty folder, as a user would have it. The addon is this checkout's: packages with prebuilt
// binaries do not exist yet.
const folder = temporaryFolder()
const app = join(folder, 'app')
const env: NodeJS.ProcessEnv = {
  ...process.env,
  PHI2_BINDING: join(packageRoot(), 'build', 'Release', 'phi2.node'),
  PHI2_CACHE: join(folder, 'cache'),
}
delete env.PHI2_MODEL
const quiet = ['--no-audit', '--no-fund', '--loglevel=error']

function npm(args: string[], cwd: string): string {
  return execFileSync('npm', args, { cwd, encoding: 'utf8', env, shell: process.platform === 'win32' })
}

function run(file: string, program: string): { status: number | null; stdout: string; stderr: string } {
  writeFileSync(join(app, file), program)
  return spawnSync(process.execPath, [file], { cwd: app, encoding: 'utf8', env, timeout: 60_000 })
}

npm(['run', 'compile', '--silent'], packageRoot())
npm(['pack', '--ignore-scripts', '--pack-destination', folder, ...quiet], packageRoot())
const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))
assert.ok(tarball)
mkdirSync(app)
writeFileSync(join(app, 'package.json'), '{ "private": true }')
npm(['install', join(folder, tarball), '--prefer-offline', ...quiet], app)

const question = 'What is the capital of France?'

test('an ES module imports the installed package and gets an answer from the embedded model', () => {
  const { status, stdout, stderr } = run(
    'program.mjs',
    `import { Phi2 } from 'phi2'
    const phi2 = await Phi2.load()
    console.log((await phi2.ask('${question}')).text, phi2.info.embedded)
    await phi2.close()`,
  )
  assert.equal(stderr, '')
  assert.equal(stdout, 'The capital of France is Paris. true\n')
  assert.equal(status, 0)
})

test('CommonJS requires it', () => {
  const { status, stdout, stderr } = run(
    'program.cjs',
    `const { Phi2, Phi2Error } = require('phi2')
    Phi2.load({ model: 'tiny' }).then(async (phi2) => {
      console.log((await phi2.ask('${question}')).text, typeof Phi2Error)
    })`,
  )
  assert.doesNotMatch(stderr, /Error/)
  assert.equal(stdout, 'The capital of France is Paris. function\n')
  assert.equal(status, 0)
})

test('phi2/bench measures the installed package', () => {
  const { status, stdout, stderr } = run(
    'bench.mjs',
    `import { bench, compareTypes, tune } from 'phi2/bench'
    const { tests } = await bench({ model: 'tiny', prompt: 16, predict: 2, repetitions: 1 })
    console.log(tests.map(({ name, speed }) => name + (speed.mean > 0)).join(), typeof tune, typeof compareTypes)`,
  )
  assert.equal(stderr, '')
  assert.equal(stdout, 'pp16true,tg2true function function\n')
  assert.equal(status, 0)
})

test('the toolkit of phi2/gguf makes, quantizes, inspects, measures and downloads models', () => {
  const { status, stdout, stderr } = run(
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
  assert.equal(stderr, '')
  assert.equal(stdout, 'q4_k_m 19\ntrue\n256 1\n')
  assert.equal(status, 0)
})

test('npx phi2 answers', () => {
  const { status, stdout } = spawnSync('npx', ['phi2', 'ask', question], {
    cwd: app,
    encoding: 'utf8',
    env,
    timeout: 60_000,
    shell: process.platform === 'win32',
  })
  assert.equal(stdout, 'The capital of France is Paris.\n')
  assert.equal(status, 0)
})

test('types of the installed package satisfy a strict consumer under node16 and bundler resolution', () => {
  writeFileSync(
    join(app, 'consumer.mts'),
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
  const tsc = join(packageRoot(), 'node_modules', 'typescript', 'bin', 'tsc')
  const types = join(packageRoot(), 'node_modules', '@types')
  for (const [module, resolution] of [
    ['node16', 'node16'],
    ['esnext', 'bundler'],
  ]) {
    const { status, stdout } = spawnSync(
      process.execPath,
      [
        tsc,
        '--noEmit',
        '--strict',
        '--target',
        'es2023',
        '--lib',
        'es2023,esnext.disposable',
        '--module',
        module!,
        '--moduleResolution',
        resolution!,
        '--typeRoots',
        types,
        '--types',
        'node',
        'consumer.mts',
      ],
      { cwd: app, encoding: 'utf8' },
    )
    assert.equal(stdout, '')
    assert.equal(status, 0)
  }
})

test('without an addon the error names the platform and the remedies', () => {
  const without = { ...env }
  delete without.PHI2_BINDING
  writeFileSync(
    join(app, 'without.mjs'),
    `import { Phi2 } from 'phi2'\nawait Phi2.load().catch((error) => console.log(error.code, error.message))`,
  )
  const { stdout } = spawnSync(process.execPath, ['without.mjs'], { cwd: app, encoding: 'utf8', env: without })
  assert.match(stdout, /PHI2_BINDING_NOT_FOUND/)
  assert.match(stdout, new RegExp(`${process.platform}-${process.arch}`))
  assert.match(stdout, /npm run build/)
})
