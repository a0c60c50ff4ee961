import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { before, test } from 'node:test'
import { ANSWER, Consumer, QUESTION, tarballs, tool, WORKERS } from './consumer.js'
import { startRegistry } from './registry.js'

const platform = `${process.platform}-${process.arch}`
/** The programs themselves; their packages' scripts only choose among them. */
const runtimes = [
  { name: 'Bun', file: `@oven/bun-${platform}/bin/bun`, args: ['run'] },
  { name: 'Deno', file: `@deno/${platform}-glibc/deno`, args: ['run', '--allow-all', '--no-prompt'] },
]

const app = new Consumer({ type: 'module' })
before(async () => app.npmInstall(await startRegistry(tarballs().platform)))

for (const { name, file, args } of runtimes) {
  const path = tool(file)
  const skip = !existsSync(path) && `no ${name} for ${platform}`

  test(`${name} runs it: answers, streams, aborts, several at once, and exits by itself`, { skip }, async () => {
    app.write(
      'runtime.mjs',
      `import { Phi2, Phi2Error } from 'phi2'
      const phi2 = await Phi2.load()
      const generation = phi2.ask('${QUESTION}')
      let text = ''
      for await (const piece of generation) text += piece
      const signal = AbortSignal.timeout(20)
      const reason = await phi2.complete('Once upon a time', { maxTokens: 1900, logitBias: { 50256: -Infinity }, signal })
        .then(() => 'none', (error) => error.name)
      const answers = await Promise.all([1, 2, 3].map(() => phi2.ask('${QUESTION}')))
      const code = await Phi2.load({ model: './none.gguf' }).catch((error) => error instanceof Phi2Error && error.code)
      console.log(text, reason, answers.every((answer) => answer.text === text), code)
      console.log((await phi2.selfCheck()).ok)`,
    )
    const { status, stdout, stderr } = await app.run(path, [...args, 'runtime.mjs'])
    assert.equal(stdout, `${ANSWER} TimeoutError true PHI2_MODEL_NOT_FOUND\ntrue\n`, stderr)
    assert.equal(status, 0, stderr)
  })

  test(`${name} loads it in worker threads`, { skip }, async () => {
    app.write('workers.mjs', WORKERS)
    const { status, stdout, stderr } = await app.run(path, [...args, 'workers.mjs'])
    assert.equal(stdout, `true ${ANSWER}\n`, stderr)
    assert.equal(status, 0, stderr)
  })

  test(`${name} runs the command line`, { skip }, async () => {
    const cli = 'node_modules/phi2/dist/src/cli/main.js'
    const { status, stdout, stderr } = await app.run(path, [...args, cli, 'ask', QUESTION])
    assert.equal(stdout, `${ANSWER}\n`, stderr)
    assert.equal(status, 0)
  })
}
