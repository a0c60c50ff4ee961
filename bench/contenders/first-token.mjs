// What `phi2 complete` does, with node-llama-cpp: loads a model, continues a text, and prints it as it comes. Plain
// JavaScript, because its time from the start of the process to the first text is measured.
// Run: node first-token.mjs ENTRY MODEL PROMPT MAX_TOKENS
import { pathToFileURL } from 'node:url'

const [entry, modelPath, prompt, maxTokens] = process.argv.slice(2)
const { getLlama, LlamaCompletion } = await import(pathToFileURL(entry).href)
const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, logLevel: 'error' })
const model = await llama.loadModel({ modelPath })
const context = await model.createContext({ contextSize: 2048 })
const completion = new LlamaCompletion({ contextSequence: context.getSequence() })
await completion.generateCompletion(prompt, {
  maxTokens: Number(maxTokens),
  onTextChunk: (text) => process.stdout.write(text),
})
await llama.dispose()
