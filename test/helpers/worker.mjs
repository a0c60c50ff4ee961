// A worker thread that loads the package by itself and runs the program in `workerData`.
import { parentPort, workerData } from 'node:worker_threads'
import { tsImport } from 'tsx/esm/api'

const { Phi2 } = await tsImport('../../src/phi2.ts', import.meta.url)
const AsyncFunction = (async () => {}).constructor
await new AsyncFunction('Phi2', 'parentPort', workerData)(Phi2, parentPort)
