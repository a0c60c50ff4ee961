import { readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Folders in which the shared libraries of CUDA and of a graphics driver are kept on Linux, those first that somebody
 * chose by a variable. Only the ones that exist. What the dynamic linker searches by itself is at the end: whether a
 * library is there can be told without opening it.
 */
export function libraryFolders(environment: Environment = process.env): string[] {
  const found = new Set<string>()
  for (const pattern of [
    ...(environment.LD_LIBRARY_PATH ?? '').split(':').filter((folder) => folder.startsWith('/')),
    ...toolkitRoots(environment).flatMap((root) => [`${root}/lib64`, `${root}/targets/*/lib`, `${root}/lib`]),
    ...pythonFolders(environment).map((packages) => `${packages}/nvidia/*/lib`),
    ...DRIVER_FOLDERS,
    ...SYSTEM_FOLDERS,
  ]) {
    for (const folder of expand(pattern)) found.add(folder)
  }
  return [...found]
}

/** Where CUDA toolkits are installed; may not exist. */
export function toolkitRoots(environment: Environment = process.env): string[] {
  const named = [environment.CUDAToolkit_ROOT, environment.CUDA_PATH, environment.CUDA_HOME, environment.CONDA_PREFIX]
  return [
    ...named.filter((root): root is string => root?.startsWith('/') === true),
    '/usr/local/cuda',
    // the newest first
    ...expand('/usr/local/cuda-*').sort((a, b) => b.localeCompare(a, 'en', { numeric: true })),
    '/opt/cuda',
    '/usr/lib/nvidia-cuda-toolkit',
  ]
}

/** Containers, WSL and NixOS keep what belongs to the driver in places of their own. */
const DRIVER_FOLDERS = ['/usr/local/nvidia/lib64', '/usr/lib/wsl/lib', '/run/opengl-driver/lib']

const SYSTEM_FOLDERS = [
  '/usr/lib/x86_64-linux-gnu',
  '/lib/x86_64-linux-gnu',
  '/usr/lib/aarch64-linux-gnu',
  '/lib/aarch64-linux-gnu',
  '/usr/local/lib',
  '/usr/lib64',
  '/lib64',
  '/usr/lib',
  '/lib',
]

/** `site-packages` of the Pythons that this environment would start, where `pip install nvidia-cublas` puts libraries. */
function pythonFolders(environment: Environment): string[] {
  const roots = [environment.VIRTUAL_ENV, environment.CONDA_PREFIX]
  for (const folder of (environment.PATH ?? '').split(delimiter)) {
    if (folder.startsWith('/') && folder.endsWith('/bin')) roots.push(dirname(folder))
  }
  roots.push(join(environment.HOME || homedir(), '.local'), '/usr/local')
  return [
    ...new Set(
      roots
        .filter((root): root is string => root?.startsWith('/') === true)
        .flatMap((root) => [`${root}/lib/python3*/site-packages`, `${root}/lib/python3*/dist-packages`]),
    ),
  ]
}

/** The folders that a pattern stands for; each of its parts may have one star. */
function expand(pattern: string): string[] {
  let found = ['/']
  for (const part of pattern.split('/').filter((name) => name !== '')) {
    found = found.flatMap((folder) => {
      if (!part.includes('*')) return [join(folder, part)]
      const [before, after] = part.split('*') as [string, string]
      const fits = (name: string) =>
        name.length >= before.length + after.length && name.startsWith(before) && name.endsWith(after)
      return list(folder)
        .filter(fits)
        .map((name) => join(folder, name))
    })
  }
  return found.filter((folder) => list(folder).length > 0)
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
