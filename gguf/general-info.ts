import { basename, join, resolve } from 'node:path'
import { type JsonObject, parseJsonObject, readText } from './checkpoint-json.js'
import type { GeneralInfo } from './general-metadata.js'
import { readModelCard } from './model-card.js'
import { ancestor, huggingFaceUrl, nameParts } from './model-name.js'
import { type CheckpointSource, readSource } from './source.js'

export interface GeneralInfoOptions {
  config: JsonObject
  parameters: number
  name?: string | undefined
  license?: string | undefined
  source?: CheckpointSource | undefined
}

/**
 * All that a checkpoint's folder says about itself: what is given, else the model card, else the name of the model in
 * config.json, of the repository, or of the folder.
 */
export async function readGeneralInfo(
  folder: string,
  options: GeneralInfoOptions,
): Promise<Omit<GeneralInfo, 'fileType'>> {
  const { config, parameters, license } = options
  const { baseModels, datasets, ...card } = await readModelCard(folder)
  const source = options.source ?? (await readSource(folder))
  const folderName = basename(resolve(folder))
  const ids = [namedInConfig(config), source.repository, folderName]
  const parts = ids.map((id) => (id === undefined ? {} : nameParts(id, parameters)))
  const repoUrl = source.url ?? (source.repository === undefined ? undefined : huggingFaceUrl(source.repository))
  const info = {
    // The first that says something wins, so it comes last.
    ...Object.assign({ name: folderName }, ...parts.toReversed()),
    ...(repoUrl !== undefined && { sourceRepoUrl: repoUrl }),
    ...(source.revision !== undefined && { sourceRevision: source.revision }),
    ...card,
    ...(license !== undefined && { license }),
    baseModels: baseModels.map((id) => ancestor(id, parameters)),
    datasets: datasets.map((id) => ancestor(id, parameters)),
    sampling: await readGenerationConfig(folder),
    parameters,
  }
  return { ...info, ...(options.name !== undefined && { name: options.name }) }
}

/** A name such as `microsoft/phi-2`, not the path on the computer that trained it. */
function namedInConfig(config: JsonObject): string | undefined {
  const id = config._name_or_path
  return typeof id === 'string' && id.split('/').length <= 2 ? id : undefined
}

/** A broken one is passed over, as llama.cpp's converter does: only recommendations for sampling are lost. */
async function readGenerationConfig(folder: string): Promise<JsonObject> {
  const text = await readText(join(folder, 'generation_config.json'))
  try {
    return parseJsonObject(text ?? '{}', 'generation_config.json')
  } catch {
    return {}
  }
}
