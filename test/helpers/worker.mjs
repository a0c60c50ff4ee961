// A worker thread that loads the package by itself and runs the program in `workerData`, which may load more of it.
import { parentPort, workerData } from 'node:worker_threads'
import { tsImport } from 'tsx/esm/api'

const load = (path) => tsImport(path, import.meta.url)
const { Phi2 } = await load('../../src/phi2.ts')
const AsyncFunction = (async () => {}).constructor
await new AsyncFunction('Phi2', 'parentPort', 'load', workerData)(Phi2, parentPort, load)
