// For `node --import`: writes the address of every module that is imported into the file named by MODULE_LOG.
import { appendFileSync } from 'node:fs'
import { register } from 'node:module'
import { isMainThread } from 'node:worker_threads'

// The hooks run in a thread of their own, which loads this file once more.
if (isMainThread) register(import.meta.url)

export async function load(url, context, nextLoad) {
  appendFileSync(process.env.MODULE_LOG, `${url}\n`)
  return nextLoad(url, context)
}
