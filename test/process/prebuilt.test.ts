import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { readElf } from '../../scripts/elf.js'
import { makeGlibcStubs } from '../../scripts/glibc-stubs.js'
import { checkSymbols } from '../../scripts/symbols.js'
import { HOST, targets } from '../../scripts/targets.js'
import { findToolchain } from '../../src/builder/toolchain.js'
import { packageRoot } from '../../src/package-root.js'
import { temporaryFolder } from '../helpers/model.js'

const baseline = targets.find(({ name }) => name === HOST)?.baseline
const skip = !baseline?.GLIBC && `no package for glibc on ${HOST}`

function succeed(command: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  assert.equal(status, 0, error?.message ?? `${stdout}${stderr}`)
  return stdout
}

// What the engine and the addon use of what is younger than the baseline, or was elsewhere then.
const PROGRAM = `
#include <dlfcn.h>
#include <sched.h>
#include <sys/stat.h>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <random>
#include <thread>

int main(int argc, char** argv) {
  auto shared = std::make_shared<int>(argc);
  std::mutex mutex;
  std::condition_variable changed;
  std::unique_lock<std::mutex> lock(mutex);
  const auto before = std::chrono::steady_clock::now();
  const bool woken = changed.wait_for(lock, std::chrono::milliseconds(1200)) == std::cv_status::no_timeout;
  const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - before;
  std::thread thread([&] { std::lock_guard<std::mutex> held(mutex); *shared = 5; changed.notify_one(); });
  changed.wait(lock, [&] { return *shared == 5; });
  thread.join();
  std::random_device random;
  bool varied = false;
  for (unsigned first = random(), i = 0; i < 8; ++i) varied = varied || random() != first;
  std::ifstream stream(argv[0], std::ios::binary);
  char magic[4] = {};
  stream.read(magic, 4);
  struct stat by_path = {};
  struct stat by_file = {};
  struct stat of_link = {};
  FILE* file = fopen(argv[0], "r");
  unsigned cpu = ~0u;
  const bool stats = stat(argv[0], &by_path) == 0 && fstat(fileno(file), &by_file) == 0 &&
                     lstat(argv[0], &of_link) == 0 && by_path.st_size == by_file.st_size &&
                     by_path.st_size == of_link.st_size && by_path.st_size > 0;
  const auto size = static_cast<long>(std::filesystem::file_size(argv[0]));
  const bool counted = getcpu(&cpu, nullptr) == 0 && cpu < 100000;
  printf("%d %d %d %d %d %d %d %d %.3f\\n", woken, waited.count() > 1.1, varied, stats, size == by_path.st_size,
         counted, magic[1] == 'E', dlopen("libno-such.so", RTLD_NOW) == nullptr,
         std::pow(argc + 1.0, 0.5) + std::exp(argc - 1.0) + std::log(argc * 1.0));
  return 0;
}
`

test('what is linked as prebuilt libraries are asks for nothing younger than the baseline, and runs', { skip }, () => {
  const folder = temporaryFolder()
  const { compilers } = findToolchain()
  assert.ok(baseline?.GLIBC && compilers)
  const stubs = join(folder, 'stubs')
  makeGlibcStubs(stubs, baseline.GLIBC, compilers.cc)
  const source = join(folder, 'source')
  mkdirSync(source)
  writeFileSync(join(source, 'program.cpp'), PROGRAM)
  const portable = join(packageRoot(), 'cmake', 'portable-linux.cmake')
  writeFileSync(
    join(source, 'CMakeLists.txt'),
    `cmake_minimum_required(VERSION 3.21)
    project(program LANGUAGES CXX)
    set(CMAKE_CXX_STANDARD 17)
    include("${portable}")
    add_executable(program program.cpp)
    # libgcc_s is this machine's.
    target_link_options(program PRIVATE LINKER:--allow-shlib-undefined)`,
  )
  const build = join(folder, 'build')
  const configure = ['-S', source, '-B', build, '-DCMAKE_BUILD_TYPE=Release', `-DPHI2_GLIBC_STUBS=${stubs}`]
  succeed('cmake', [...configure, `-DCMAKE_CXX_COMPILER=${compilers.cxx}`])
  succeed('cmake', ['--build', build])
  const program = join(build, 'program')
  assert.deepEqual(checkSymbols([program], baseline).problems, [])
  assert.equal(succeed(program, []), '0 1 1 1 1 1 1 1 2.414\n')
})

test('the symbols of a library are read as readelf reads them', { skip }, () => {
  const path = join(packageRoot(), 'build', 'Release', 'libllama.so')
  const lines = succeed('readelf', ['--dyn-syms', '--wide', path]).matchAll(
    /^ *\d+: \w+ +\d+ (?:FUNC|OBJECT|NOTYPE|TLS|UNIQUE|IFUNC) +(?:GLOBAL|WEAK|UNIQUE) +\w+ +(UND|\w+) ([^@\s]+)(?:@@?([^\s]+))?/gm,
  )
  const expected = [...lines].map(([, section, name, version]) => `${section === 'UND'} ${name} ${version ?? ''}`)
  const { imports, exports, needed, soname } = readElf(path)
  const found = [
    ...imports.map(({ name, version }) => `true ${name} ${version ?? ''}`),
    ...exports.map(({ name, version }) => `false ${name} ${version ?? ''}`),
  ]
  assert.ok(expected.length > 500)
  assert.deepEqual(found.sort(), expected.sort())
  assert.equal(soname, 'libllama.so')
  assert.ok(needed.includes('libggml-base.so') && needed.includes('libc.so.6'))
})
