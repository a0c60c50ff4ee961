import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { packageRoot } from '../../src/package-root.js'
import { temporaryFolder } from '../helpers/model.js'

// GCC drops stores that fill the AMX tile configuration; on a processor with AMX the process then dies at the first
// longer prompt. The machine code is looked at, so that the cure is tested on every x64 machine.
const root = packageRoot()
const engine = process.env.LLAMA_CPP_DIR || join(root, 'build', 'llama.cpp')
const source = join(engine, 'ggml', 'src', 'ggml-cpu', 'amx', 'mmq.cpp')
const amx =
  '-msse4.2 -mf16c -mfma -mbmi2 -mavx2 -mavx512f -mavx512cd -mavx512vl -mavx512dq -mavx512bw -mavx512vbmi -mavx512vnni -mavx512bf16 -mamx-tile -mamx-int8'

function runs(command: string): boolean {
  return spawnSync(command, ['--version']).status === 0
}

function whyNot(): string | false {
  if (process.arch !== 'x64') return 'AMX exists on x64 only'
  if (!existsSync(source)) return 'the sources of the engine are not here'
  if (!runs('g++') || !runs('objdump')) return 'g++ or objdump is not installed'
  const { status } = spawnSync('g++', ['-mamx-int8', '-x', 'c++', '-fsyntax-only', '-'], { input: '' })
  return status !== 0 && 'this g++ does not know AMX'
}

/** Offsets into the 64 bytes of the tile configuration that are written before it is loaded. */
function storedOffsets(disassembly: string): Set<number> {
  const lines = disassembly.split('\n')
  const load = lines.findIndex((line) => line.includes('ldtilecfg'))
  const [, base, register] = /ldtilecfg\s+(0x[0-9a-f]+)?\(%(\w+)\)/.exec(lines[load] ?? '') ?? []
  assert.ok(load >= 0 && register, 'no tile configuration is loaded')
  const offsets = new Set<number>()
  for (const line of lines.slice(Math.max(0, load - 60), load)) {
    const [, at, to] = /\bv?mov\w*\s+[%$][^,]+,(0x[0-9a-f]+)?\(%(\w+)\)/.exec(line) ?? []
    if (to === register) offsets.add(Number(at ?? 0) - Number(base ?? 0))
  }
  return offsets
}

test('compiled by GCC with the flags of the build, the whole AMX tile configuration is written before it is loaded', {
  skip: whyNot(),
}, () => {
  const [, flags] = /COMPILE_OPTIONS (-f[^)]+)\)/.exec(readFileSync(join(root, 'cmake', 'engine.cmake'), 'utf8')) ?? []
  assert.ok(flags)
  const object = join(temporaryFolder(), 'mmq.o')
  const includes = ['src', 'src/ggml-cpu', 'include'].map((folder) => `-I${join(engine, 'ggml', folder)}`)
  const compile = spawnSync(
    'g++',
    [
      '-std=c++17',
      '-O3',
      '-DNDEBUG',
      '-fPIC',
      ...includes,
      ...amx.split(' '),
      ...flags.split(' '),
      '-c',
      source,
      '-o',
      object,
    ],
    { encoding: 'utf8' },
  )
  assert.equal(compile.status, 0, compile.stderr)
  const { stdout } = spawnSync('objdump', ['-d', object], { encoding: 'utf8', maxBuffer: 1 << 28 })
  const offsets = storedOffsets(stdout)
  // Intel's layout: palette at byte 0, bytes per row of each tile from 16, rows of each tile from 48.
  for (const offset of [0, 16, 48])
    assert.ok(offsets.has(offset), `nothing is stored at byte ${offset}; stored: ${[...offsets]}`)
})
