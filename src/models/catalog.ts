import type { Hub, HubRef } from './hub.js'

/** One place where a catalogued file lies. */
export interface CatalogSource extends HubRef {
  readonly path: string
  readonly revision: string
  /** Exact size; without one the hub's word counts. */
  readonly bytes?: number
  /** Without one the hub's word counts. */
  readonly sha256?: string
  /** What the repository's card says, as an SPDX id where there is one. */
  readonly license: string
  /** Month in which the file was made. */
  readonly made: string
}

/** A GGUF file of Phi-2, by the name of its type. */
export interface CatalogModel {
  /** llama.cpp's name of the type in lower case. */
  readonly name: string
  /** Size, at least to a hundredth of a GB. */
  readonly bytes: number
  /** Tried in this order when one is gone. */
  readonly sources: readonly [CatalogSource, ...CatalogSource[]]
}

export interface KnownFile {
  /** Size: exact where `exact` says so. */
  readonly bytes: number
  readonly exact?: boolean
  readonly sha256?: string
}

/** The checkpoint that everything comes from. */
export interface CatalogCheckpoint {
  readonly name: string
  readonly license: string
  readonly bytes: number
  readonly sources: Readonly<Record<Hub, HubRef>>
  /** Files of the source on Hugging Face that a conversion reads, or that ought to go with them. */
  readonly files: Readonly<Record<string, KnownFile>>
  /** Weights that Microsoft has published under this name, in any of the namings: how a copy elsewhere is recognized. */
  readonly weights: readonly string[]
}

export interface Catalog {
  /** Smallest first. */
  readonly models: readonly CatalogModel[]
  readonly checkpoint: CatalogCheckpoint
}

/** What a bare `phi2 pull` takes: a third of F16's size, little loss, fast on every processor. */
export const DEFAULT_MODEL = 'q4_k_m'

/**
 * Which model in the cache is the default: the one that a bare pull takes, then what is better and still fast, then what
 * is smaller, then the unquantized ones, which are slow on a processor, and last those that lose the most.
 */
export const PREFERENCE = [
  'q4_k_m',
  'q5_k_m',
  'q6_k',
  'q5_k_s',
  'q8_0',
  'q4_k_s',
  'q5_1',
  'q5_0',
  'iq4_nl',
  'iq4_xs',
  'q4_1',
  'q4_0',
  'f16',
  'bf16',
  'f32',
  'q3_k_l',
  'q3_k_m',
  'iq3_m',
  'q3_k_s',
  'iq3_s',
  'q2_k',
] as const

/** The weights are under MIT since January 2024; cards written before still name the research licence of December 2023. */
const RESEARCH = 'microsoft-research-license'

const THE_BLOKE = {
  hub: 'huggingface',
  repository: 'TheBloke/phi-2-GGUF',
  revision: '5a454d977c6438bb9fb2df233c8ca70f21c87420',
  license: RESEARCH,
  made: '2023-12',
} as const

const AFRIDEVA = {
  hub: 'huggingface',
  repository: 'afrideva/phi-2-GGUF',
  revision: '59a5e3b383d764ec9ec84faf7a1411b786b73bd2',
  license: RESEARCH,
  made: '2023-12',
} as const

// Its card has named susnato/phi-2 as what it was made of since this commit, a copy whose weights nobody has compared with
// the original: so it comes after the files that were made of the original itself.
const TENSORBLOCK = {
  hub: 'huggingface',
  repository: 'tensorblock/phi-2-GGUF',
  revision: '7e7a2835f3696fddab775d52b9f9ebe412c97d07',
  license: 'mit',
  made: '2024-11',
} as const

/** Files of THE_BLOKE, as the pages of the commits that brought them show the pointers to them. */
const KNOWN = {
  q2_k: { bytes: 1_173_610_336, sha256: 'af07a221ea51d3be7eabdc5fb9564a4c2af6cf8d6d277016ba2e86c5b4fef17f' },
  q3_k_s: { bytes: 1_250_819_936, sha256: 'a40dca0f4079c5fcd2e60804ff7b6c7bf2e0ac23f593c380c9e064a6cad3ccf1' },
  q3_k_m: { bytes: 1_480_195_936, sha256: '94c9072e8c588b3c0f01c8536d3fba94c847d45318994f5dec08b2ca84e33d82' },
  q3_k_l: { bytes: 1_604_714_336, sha256: 'ccad4299dccb291741abea7a76773c059285b51625e6401c1caf050c93495345' },
  q4_k_s: { bytes: 1_615_568_736, sha256: '67df519f789817dee8c9b927227e7795ac07e1b20b58eb21fe109a2af328928a' },
  q4_k_m: { bytes: 1_789_239_136, sha256: '324356668fa5ba9f4135de348447bb2bbe2467eaa1b8fcfb53719de62fbd2499' },
  q5_0: { bytes: 1_933_418_336, sha256: '93143aff6d8566aac56fa88720dd8099ff076efac065dcd3538ae61a61ddd335' },
  q5_k_m: { bytes: 2_072_682_336, sha256: 'ce6bcc8fa75b467e1eb693bcc921fe366ceac14aa92ec3dc84da536c2289510a' },
  q6_k: { bytes: 2_285_059_936, sha256: '9a654a17bee234d85b726bbdaec8e9a3365bbc187238998bc4f84c89afb046d6' },
  q8_0: { bytes: 2_958_032_736, sha256: '26a44c5a2bc22f33a1271cdf1accb689028141a6cb12e97671740a9803d23c63' },
}

type Known = Partial<(typeof KNOWN)['q2_k']>

function theBloke(name: string, known: Known): CatalogSource {
  return { ...THE_BLOKE, path: `phi-2.${name.toUpperCase()}.gguf`, ...known }
}

function known(name: keyof typeof KNOWN, ...others: CatalogSource[]): CatalogModel {
  return { name, bytes: KNOWN[name].bytes, sources: [theBloke(name, KNOWN[name]), ...others] }
}

/** The same file as THE_BLOKE's, by its hash. */
function afrideva(name: keyof typeof KNOWN): CatalogSource {
  return { ...AFRIDEVA, path: `phi-2.${name}.gguf`, ...KNOWN[name] }
}

const q80Newer: CatalogSource = {
  ...TENSORBLOCK,
  path: 'phi-2-Q8_0.gguf',
  sha256: '128570e8b4215f8297439c43c3bb5f65176805560b08901802a73cbfc32ac1d1',
}

/** Sizes without an exact count are the ones that the repositories show, in GB of 10⁹ bytes. */
export const catalog: Catalog = {
  models: [
    known('q2_k', afrideva('q2_k')),
    known('q3_k_s'),
    known('q3_k_m'),
    {
      name: 'q4_0',
      bytes: 1.6e9,
      sources: [theBloke('q4_0', { sha256: 'a6f246baa29a776acbc9a1638088c33d8f7b6a044cc7dd09fb4b0374e1582ae0' })],
    },
    known('q3_k_l'),
    known('q4_k_s'),
    known('q4_k_m'),
    { name: 'q5_k_s', bytes: 1.93e9, sources: [theBloke('q5_k_s', {})] },
    known('q5_0'),
    known('q5_k_m', afrideva('q5_k_m')),
    known('q6_k', afrideva('q6_k')),
    known('q8_0', afrideva('q8_0'), q80Newer),
  ],
  checkpoint: {
    name: 'microsoft/phi-2',
    license: 'mit',
    bytes: 5.57e9,
    sources: {
      huggingface: {
        hub: 'huggingface',
        repository: 'microsoft/phi-2',
        revision: 'ef382358ec9e382308935a992d908de099b64c23',
      },
      // The id that ModelScope's own tools take for microsoft/phi-2. No commit of it is known to pin. mengzhao/phi-2 is
      // another copy there, still under the research licence.
      modelscope: { hub: 'modelscope', repository: 'AI-ModelScope/phi-2' },
    },
    files: {
      'config.json': { bytes: 735, exact: true },
      'generation_config.json': { bytes: 124, exact: true },
      'special_tokens_map.json': { bytes: 99, exact: true },
      'added_tokens.json': { bytes: 1_080 },
      LICENSE: { bytes: 1_080 },
      'NOTICE.md': { bytes: 1_770 },
      'tokenizer_config.json': { bytes: 7_340 },
      'README.md': { bytes: 7_880 },
      'model.safetensors.index.json': { bytes: 35_700 },
      'merges.txt': {
        bytes: 456_000,
        sha256: '1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5',
      },
      'vocab.json': {
        bytes: 798_000,
        sha256: '3ba3c3109ff33976c4bd966589c11ee14fcaa1f4c9e5e154c2ed7f99d80709e7',
      },
      'tokenizer.json': { bytes: 2_110_000 },
      'model-00002-of-00002.safetensors': { bytes: 564_000_000 },
      'model-00001-of-00002.safetensors': {
        bytes: 4_995_584_424,
        exact: true,
        sha256: '7fbcdefa72edf7527bf5da40535b57d9f5bd3d16829b94a9d25d2b457df62e84',
      },
    },
    weights: [
      '7fbcdefa72edf7527bf5da40535b57d9f5bd3d16829b94a9d25d2b457df62e84',
      // the two files of December 2023
      '8602d4d3b14f586520d1f765091d9f3a4feb1c5786448c600d018db7216f7235',
      'b8df6b833c861901396f25ea4d701270ebc2943c330a291b5b538dd9e41550b3',
    ],
  },
}

/** The catalogued file of a type, if there is one. */
export function findModel(name: string, { models }: Catalog = catalog): CatalogModel | undefined {
  return models.find((model) => model.name === name)
}

/** Whether a file made then lacks `tokenizer.ggml.pre`, which llama.cpp writes for Phi-2 since September 2024. */
export function isLegacy({ made }: CatalogSource): boolean {
  return made < '2024-09'
}
