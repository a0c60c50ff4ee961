import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { runChild } from '../helpers/child.js'
import { temporaryFolder } from '../helpers/model.js'

const folder = JSON.stringify(temporaryFolder())
const tiny = JSON.stringify(join(import.meta.dirname, '../../gguf/tiny/phi-2-tiny-q8_0.gguf'))
const text = `'a b c d '.repeat(50_000)`

/** Long work of the engine. Its first progress is the sign that it is at it. */
const works = {
  'a file is quantized': `quantize({ from: ${tiny}, to: ${folder} + '/x.gguf', type: 'q2_k', allowRequantize: true, threads: 1, onProgress })`,
  'a text is measured': `perplexity({ model: 'tiny', text: ${text}, onProgress })`,
  'an importance matrix is computed': `computeImatrix({ model: 'tiny', text: ${text}, to: ${folder} + '/x.imatrix', onProgress })`,
}

const toolkit = (load: string) =>
  `const { quantize, perplexity, computeImatrix } = await ${load}('../../gguf/index.ts')`

/** Declares `start(end)`: a worker thread that works and says so, and that calls `end` of its own accord. */
function worker(work: string): string {
  const body = `
    ${toolkit('load')}
    const onProgress = () => END
    await ${work}`
  return `
    import { Worker } from 'node:worker_threads'
    import { once } from 'node:events'
    const start = (end) => {
      const workerData = ${JSON.stringify(body)}.replace('END', () => end)
      return new Worker('./test/helpers/worker.mjs', { workerData, execArgv: [] })
    }`
}

for (const [what, work] of Object.entries(works)) {
  test(`while ${what} the process can exit at once, and before the work has begun`, async () => {
    for (const when of [
      'const onProgress = () => process.exit(0)',
      'const onProgress = () => {}; setImmediate(() => process.exit(0))',
    ]) {
      const { code, signal, stdout, stderr } = await runChild(`
        ${toolkit('import').replace('../../', './')}
        ${when}
        ready()
        await ${work}
        console.log('done')`)
      assert.deepEqual([stdout, stderr, signal, code], ['READY\n', '', null, 0])
    }
  })

  test(`while ${what} an uncaught exception ends the process with its own error, not with a crash`, async () => {
    const { code, signal, stderr } = await runChild(`
      ${toolkit('import').replace('../../', './')}
      const onProgress = () => { throw new Error('mine') }
      ready()
      await ${work}`)
    assert.deepEqual([signal, code], [null, 1])
    assert.match(stderr, /Error: mine/)
  })

  test(`a worker thread that ends while ${what} takes nothing along`, async () => {
    const { code, signal, stdout, stderr } = await runChild(`
      ${worker(work)}
      ready()
      const terminated = start("parentPort.postMessage('at it')")
      await once(terminated, 'message')
      await terminated.terminate()
      const [code] = await once(start('process.exit(7)'), 'exit')
      const phi2 = await Phi2.load({ model: 'tiny' })
      console.log(code, (await phi2.ask('What is the capital of France?')).text)
      await once(start("parentPort.postMessage('at it')"), 'message')
      process.exit(0)`)
    assert.deepEqual([stderr, signal, code], ['', null, 0])
    assert.match(stdout, /7 .*Paris/)
  })
}
