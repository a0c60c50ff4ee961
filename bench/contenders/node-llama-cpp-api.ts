import { pathToFileURL } from 'node:url'

// The part of node-llama-cpp 3.22.1 that is measured. Declared here because the package is installed by `npm run bench`
// only, and the sources are checked without it.

export type Token = number & { readonly token: unique symbol }

export interface CompletionOptions {
  maxTokens?: number
  signal?: AbortSignal
  onTextChunk?: (text: string) => void
  repeatPenalty?: false
  tokenBias?: TokenBias
  customStopTriggers?: readonly string[]
}

export interface TokenBias {
  set(tokens: readonly Token[], bias: { logit: number }): TokenBias
}

export interface TokenMeter {
  readonly usedInputTokens: number
  readonly usedOutputTokens: number
}

export interface Sequence {
  readonly tokenMeter: TokenMeter
}

export interface Context {
  readonly contextSize: number
  readonly batchSize: number
  readonly currentThreads: number
  getSequence(): Sequence
}

export interface Model {
  createContext(options: { sequences: number; contextSize: number; threads?: number }): Promise<Context>
  tokenize(text: string): Token[]
}

export interface NodeLlamaCpp {
  getLlama(options: {
    gpu: false | 'cuda'
    build: 'never'
    skipDownload: true
    logLevel: 'error'
    maxThreads?: number
  }): Promise<{ loadModel(options: { modelPath: string; gpuLayers?: 'max' }): Promise<Model> }>
  LlamaCompletion: new (options: {
    contextSequence: Sequence
  }) => { generateCompletion(prompt: string, options: CompletionOptions): Promise<string> }
  LlamaChatSession: new (options: {
    contextSequence: Sequence
  }) => { prompt(message: string, options: CompletionOptions): Promise<string> }
  TokenBias: { for(model: Model): TokenBias }
}

export async function importPeer(entry: string): Promise<NodeLlamaCpp> {
  return (await import(pathToFileURL(entry).href)) as NodeLlamaCpp
}
