import { spawnSync } from 'node:child_process'
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { enginePin } from '../../src/gpu/pin.js'
import { BUILD_METADATA, RECORD } from '../../src/gpu/store.js'

/** A C++ compiler, or why tests that need one are skipped. Where CI is set there must be one. */
const compiler = ['c++', 'g++', 'clang++'].find((name) => spawnSync(name, ['--version']).status === 0)
export const skipWithoutCompiler =
  process.platform === 'linux' && (compiler !== undefined || process.env.CI) ? false : 'no C++ compiler here'

/** What the engine asks a backend for, in the layout of its version 2. */
const REGISTRY = `
#include <cstddef>
#include <stdexcept>
struct Registry {
  int api_version;
  const char* (*get_name)(Registry*);
  size_t (*get_device_count)(Registry*);
  void* (*get_device)(Registry*, size_t);
  void* (*get_proc_address)(Registry*, const char*);
  void* context;
};
static const char* name(Registry*) { return "CUDA"; }
static size_t none(Registry*) { return 0; }
static void* nothing(Registry*, size_t) { return nullptr; }
static void* no_function(Registry*, const char*) { return nullptr; }
static Registry registry = {2, name, none, nothing, no_function, nullptr};
`

/** Bodies of `ggml_backend_init`. */
export const BACKENDS = {
  /** Registers itself and finds no device. */
  empty: 'return &registry;',
  throwing: 'throw std::runtime_error("the driver said no");',
  crashing: '__builtin_trap();',
  otherApi: 'registry.api_version = 1; return &registry;',
} as const

/** Compiles a shared library that asks for `needs`, each `folder/libname.so.N`. */
export function compileLibrary(path: string, source: string, needs: readonly string[] = []): void {
  const soname = `-Wl,-soname,${path.split('/').at(-1)}`
  const args = ['-shared', '-fPIC', '-O0', '-x', 'c++', '-', '-o', path, soname]
  // Whatever it uses of them: nothing.
  if (needs.length > 0) args.push('-x', 'none', '-Wl,--no-as-needed', ...needs)
  const { status, stderr } = spawnSync(compiler!, args, { input: source, encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
}

export function compileBackend(path: string, body: string, needs: readonly string[] = []): void {
  compileLibrary(path, `${REGISTRY}\nextern "C" void* ggml_backend_init() { ${body} }`, needs)
}

/** A cache with a plug-in for CUDA in it, as \`phi2 gpu add\` leaves it. Gives the folder of the plug-in. */
export function installFake(
  cache: string,
  make: (library: string) => void,
  { tag = enginePin().tag, name = 'cuda' }: { tag?: string; name?: string } = {},
): string {
  const { version } = enginePin()
  const folder = join(cache, 'gpu', `linux-x64-${name}@${version}`)
  mkdirSync(folder, { recursive: true })
  const library = 'libggml-cuda.so'
  make(join(folder, library))
  writeFileSync(
    join(folder, BUILD_METADATA),
    JSON.stringify({ buildOptions: { gpu: 'cuda', llamaCpp: { release: tag } } }),
  )
  const record = {
    name,
    backend: 'cuda',
    package: `@node-llama-cpp/linux-x64-${name}`,
    version,
    tag,
    library,
    bytes: statSync(join(folder, library)).size,
    date: '2026-01-01T00:00:00.000Z',
  }
  writeFileSync(join(folder, RECORD), JSON.stringify(record))
  return folder
}
