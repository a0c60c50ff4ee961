import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readNames } from './elf.js'
import { libraryFolders } from './places.js'

/** A library that a backend needs and that was not found here, or cannot be opened. */
export interface MissingLibrary {
  library: string
  /** Where it comes from, and how to get it. */
  remedy: string
  /** What the dynamic linker says, of one that is there. */
  reason?: string
}

/** What is needed of the addon. Empty, or the reason why the library cannot be opened. */
export interface LibraryOpener {
  openLibrary(name: string): string
}

/** There in any case: the system's own, and those beside the addon. */
const ALWAYS = /^(ld-linux.*|lib(c|m|dl|rt|pthread|util|stdc\+\+|gcc_s|ggml-base|ggml))\.so/
/** Without the driver the others would be opened in vain: they are large. */
const DRIVER = 'libcuda.so.1'

/**
 * Opens the libraries that a backend needs, those in places included that the dynamic linker does not search by itself,
 * so that neither LD_LIBRARY_PATH nor root is needed. Gives those that are missing, all of them.
 * @throws Error for a file that is no shared library, or damaged.
 */
export function openNeeded(
  opener: LibraryOpener,
  path: string,
  folders: () => readonly string[] = () => libraryFolders(),
): MissingLibrary[] {
  const search = new Search(opener, folders)
  const needed = neededOf(path).sort((a, b) => Number(b === DRIVER) - Number(a === DRIVER))
  return needed.flatMap((library) => search.open(library) ?? [])
}

function neededOf(path: string): string[] {
  return readNames(path).needed.filter((library) => !ALWAYS.test(library))
}

class Search {
  readonly #opener: LibraryOpener
  readonly #listFolders: () => readonly string[]
  #folders: readonly string[] | undefined
  readonly #seen = new Set<string>()
  #inVain = false

  constructor(opener: LibraryOpener, listFolders: () => readonly string[]) {
    this.#opener = opener
    this.#listFolders = listFolders
  }

  /** Undefined when it is open now. */
  open(library: string): MissingLibrary | undefined {
    if (this.#seen.has(library)) return undefined
    this.#seen.add(library)
    if (this.#inVain) return this.#locate(library) === undefined ? missing(library) : undefined

    // As the system finds it, the libraries included that are open already.
    if (this.#opener.openLibrary(library) === '') return undefined
    const path = this.#locate(library)
    const failure = path === undefined ? missing(library) : this.#openFile(library, path)
    if (failure && library === DRIVER) this.#inVain = true
    return failure
  }

  /** With what it needs in turn: NVIDIA's packages for Python lie in a folder each. */
  #openFile(library: string, path: string): MissingLibrary | undefined {
    for (const other of neededOf(path)) {
      const failure = this.open(other)
      if (failure) return failure
    }
    const reason = this.#opener.openLibrary(path)
    return reason === '' ? undefined : { ...missing(library), reason }
  }

  #locate(library: string): string | undefined {
    this.#folders ??= this.#listFolders()
    return this.#folders.map((folder) => join(folder, library)).find((path) => existsSync(path))
  }
}

/** Whether a library lies where those of backends are looked for. */
export function hasLibrary(library: string): boolean {
  return libraryFolders().some((folder) => existsSync(join(folder, library)))
}

function missing(library: string): MissingLibrary {
  return { library, remedy: remedyFor(library) }
}

/** Where a library comes from. */
export function remedyFor(library: string): string {
  if (library === DRIVER || library === 'libnvidia-ml.so.1') {
    return (
      'it belongs to NVIDIA’s driver: install the driver of your distribution (on Debian and Ubuntu `nvidia-driver`), ' +
      'or in a container start it with the GPU (`--gpus all`)'
    )
  }
  const [, part, major] = /^lib(cudart|cublas|cublasLt)\.so\.(\d+)(?:\.\d+)?$/.exec(library) ?? []
  if (part !== undefined && major !== undefined) {
    const name = part === 'cudart' ? 'cuda-runtime' : 'cublas'
    // From CUDA 13 on the packages have no suffix.
    const wheel = Number(major) < 13 ? `nvidia-${name}-cu${major}` : `"nvidia-${name}==${major}.*"`
    return `it belongs to CUDA ${major}: \`pip install ${wheel}\` or NVIDIA’s CUDA toolkit ${major}`
  }
  if (library === 'libvulkan.so.1') {
    return 'it is the Vulkan loader: `apt-get install libvulkan1`, `dnf install vulkan-loader` or `pacman -S vulkan-icd-loader`'
  }
  return 'install the package of your distribution that has it'
}
