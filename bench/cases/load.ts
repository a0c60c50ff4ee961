import { alternate, type Bench, type Case, type Library } from './case.js'

export const load: Case = {
  name: 'load',
  how:
    "From the call of the library's load until it can be asked, in a new process; the file lies in the " +
    "system's cache.",
  models: 'first',
  async run(bench) {
    const title = 'model load'
    const values = await alternate(bench, bench.rounds(5), title, {
      phi2: () => loadMs(bench, 'phi2'),
      'node-llama-cpp': () => loadMs(bench, 'node-llama-cpp'),
    })
    return [{ id: 'load', title, model: bench.model.name, unit: 'ms', better: 'less', values }]
  },
}

async function loadMs(bench: Bench, library: Library): Promise<number> {
  const driver = bench.start(library)
  try {
    const options = { model: bench.model.path, contextSize: 2048, streams: 1, threads: bench.threads }
    return (await driver.call('load', options)).ms
  } finally {
    await driver.close()
  }
}
