import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildError } from '../src/builder/run.js'
import { packageRoot } from '../src/package-root.js'
import { type ElfExport, readElf } from './elf.js'
import { isNewer } from './symbols.js'

/**
 * Makes a folder to link with (`-L`) in which this machine's glibc looks as old as `baseline`: libraries without code that
 * offer its symbols, each in the newest version that was there already. glibc never drops a version of a symbol, so its
 * own tables tell what an old one had. The few functions that the old one lacks come from `native/compat/glibc.c`.
 */
export function makeGlibcStubs(folder: string, baseline: string, cc: string): void {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const compat = join(folder, 'compat.o')
  run(cc, ['-O2', '-fPIC', '-c', join(packageRoot(), 'native', 'compat', 'glibc.c'), '-o', compat])
  makeStub(join(folder, 'libm.so'), 'libm.so.6', baseline, cc)
  const libc = join(folder, 'libc.so.6')
  makeStub(libc, 'libc.so.6', baseline, cc)
  // What -lc stands for is a script of the linker's, which names the library and an archive that is linked in.
  const script = readFileSync(findLibrary(cc, 'libc.so'), 'utf8')
  writeFileSync(join(folder, 'libc.so'), script.replace(/\S*libc\.so\.6/, `${libc} ${compat}`))
}

function makeStub(output: string, soname: string, baseline: string, cc: string): void {
  const chosen = new Map<string, ElfExport>()
  for (const symbol of readElf(findLibrary(cc, soname)).exports) {
    const version = glibcVersion(symbol)
    // The version itself is a symbol, too.
    if (version === undefined || isNewer(version, baseline) || symbol.name === symbol.version) continue
    const other = chosen.get(symbol.name)
    if (other === undefined || isNewer(version, glibcVersion(other)!)) chosen.set(symbol.name, symbol)
  }
  const symbols = [...chosen.values()].filter(({ type }) => type !== 'thread-local')
  const nodes = [...new Set(symbols.map(({ version }) => version))].map((version) => `${version} { };`)
  writeFileSync(`${output}.s`, symbols.map(stubOf).join(''))
  writeFileSync(`${output}.map`, `${nodes.join('\n')}\nPHI2_STUBS { local: *; };\n`)
  const link = `-Wl,-soname,${soname},--version-script=${output}.map`
  run(cc, ['-shared', '-nostdlib', link, '-o', output, `${output}.s`])
}

function stubOf({ name, version, type, size }: ExportedStub, index: number): string {
  const label = `phi2_stub_${index}`
  return [
    type === 'object' ? '.data' : '.text',
    `.globl ${label}`,
    `.type ${label}, %${type}`,
    `.size ${label}, ${Math.max(size, 1)}`,
    `${label}: .zero ${Math.max(size, 1)}`,
    `.symver ${label}, ${name}@@${version}`,
    '',
  ].join('\n')
}

type ExportedStub = Pick<ElfExport, 'name' | 'version' | 'type' | 'size'>

/** Undefined for what only glibc itself may use. */
function glibcVersion({ version }: ElfExport): string | undefined {
  return version?.match(/^GLIBC_([\d.]+)$/)?.[1]
}

function findLibrary(cc: string, name: string): string {
  const path = run(cc, [`-print-file-name=${name}`]).trim()
  if (path === name) throw buildError(`${cc} does not find ${name}.`)
  return path
}

function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw buildError(`${command} ${args.join(' ')} failed: ${error?.message ?? stderr}`)
  return stdout
}
