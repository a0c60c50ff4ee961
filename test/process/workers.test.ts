import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runChild } from '../helpers/child.js'

const long = `{ profile: 'none', maxTokens: 1900, logitBias: { 50256: -Infinity } }`

/** Declares `start()`, a worker thread that loads the addon again and runs this program, and `message(worker)`. */
function worker(body: string): string {
  return `
    import { Worker } from 'node:worker_threads'
    const start = () => new Worker('./test/helpers/worker.mjs', { workerData: ${JSON.stringify(body)}, execArgv: [] })
    const message = (w) => new Promise((resolve, reject) => w.once('message', resolve).once('error', reject))`
}

async function cleanly(program: string): Promise<string> {
  const { code, signal, stdout, stderr } = await runChild(program)
  assert.equal(stderr, '')
  assert.equal(signal, null)
  assert.equal(code, 0)
  return stdout
}

test('a worker thread answers while the main thread does', async () => {
  const stdout = await cleanly(`
    ${worker(`const phi2 = await Phi2.load({ model: 'tiny' }); parentPort.postMessage((await phi2.ask('What is the capital of France?')).text)`)}
    ready()
    const w = start()
    const phi2 = await Phi2.load({ model: 'tiny' })
    const [mine, theirs] = await Promise.all([phi2.ask('What is the capital of France?'), message(w)])
    console.log(mine.text === theirs, theirs)`)
  assert.match(stdout, /true The capital of France is Paris\./)
})

test('two workers end and the main thread goes on', async () => {
  const stdout = await cleanly(`
    ${worker(`const phi2 = await Phi2.load({ model: 'tiny' }); parentPort.postMessage((await phi2.ask('What is 2 + 2?')).text); await phi2.close()`)}
    ready()
    const phi2 = await Phi2.load({ model: 'tiny' })
    const workers = [start(), start()]
    const exits = workers.map((w) => new Promise((resolve) => w.once('exit', resolve)))
    await Promise.all(workers.map(message))
    await Promise.all(exits)
    console.log((await phi2.ask('What is the capital of France?')).text)`)
  assert.match(stdout, /Paris/)
})

for (const [stage, body, when] of [
  ['loads', `parentPort.postMessage('go'); await Phi2.load({ model: 'tiny' })`, 0],
  [
    'is idle with an open model',
    `const phi2 = await Phi2.load({ model: 'tiny' }); parentPort.postMessage('go'); setInterval(() => phi2, 1000)`,
    10,
  ],
  [
    'decodes',
    `const phi2 = await Phi2.load({ model: 'tiny' }); parentPort.postMessage('go'); await phi2.complete('Hi', ${long})`,
    30,
  ],
  [
    'reads a long prompt',
    `const phi2 = await Phi2.load({ model: 'tiny' }); parentPort.postMessage('go'); await phi2.complete('word '.repeat(1900))`,
    10,
  ],
  [
    'closes its model',
    `const phi2 = await Phi2.load({ model: 'tiny' }); void phi2.complete('Hi', ${long}); setTimeout(() => { parentPort.postMessage('go'); phi2.close() }, 20)`,
    0,
  ],
] as const) {
  test(`a worker that is terminated while it ${stage} takes nothing along`, async () => {
    const stdout = await cleanly(`
      ${worker(body)}
      ready()
      for (let round = 0; round < 3; round++) {
        const w = start()
        await message(w)
        await new Promise((resolve) => setTimeout(resolve, ${when}))
        await w.terminate()
      }
      const phi2 = await Phi2.load({ model: 'tiny' })
      console.log((await phi2.ask('What is the capital of France?')).text)`)
    assert.match(stdout, /Paris/)
  })
}
