#!/usr/bin/env bash
# Packs what scripts/gpu-check.sh needs on a machine without Node and without a network, into build/gpu-pack:
#
#   base.part-*   Node, the compiled package with its dependencies, the engine's sources and headers: some 30 MB
#   peer.part-*   node-llama-cpp with its CUDA package, for the plug-in and for the comparison: left out with --no-peer
#   MANIFEST      the parts, with their sha256
#
#   scripts/gpu-pack.sh [--no-peer] [--cpu]
#
# --cpu takes node-llama-cpp's package for the CPU instead: for a rehearsal (GPU_CHECK_CPU=1). Parts have PART_MIB MiB at
# most (14): with the files of the repository, of which phi-2-tiny is the largest, one fits into 64 MiB. Copy the working
# tree with build/gpu-pack as a whole if there is no such limit; otherwise with one part after the other, each time followed
# by `scripts/gpu-check.sh collect` there. Needs `npm ci` in the checkout, xz, and npm's registry.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly out=build/gpu-pack
readonly part_mib=${PART_MIB:-14}
peer=linux-x64-cuda
for arg in "$@"; do
  case $arg in
    --no-peer) peer= ;;
    --cpu) peer=${peer:+linux-x64} ;;
    *)
      printf 'gpu-pack: expected --no-peer or --cpu, found %s.\n' "$arg" >&2
      exit 2
      ;;
  esac
done

say() { printf 'gpu-pack: %s\n' "$*" >&2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$out"
mkdir -p "$out" "$work/base/bin" "$work/base/app" "$work/base/sources"

# --- Node and the package, compiled: TypeScript's compiler is not needed there --------------------------------------
say 'compiles the package and the measurements'
cp -L "$(node --print process.execPath)" "$work/base/bin/node"
cat >"$work/tsconfig.json" <<END
{
  "extends": "$PWD/tsconfig.json",
  "compilerOptions": {
    "rootDir": "$PWD", "outDir": "$work/base/app", "declaration": false, "sourceMap": false,
    "typeRoots": ["$PWD/node_modules/@types"]
  },
  "include": ["$PWD/src", "$PWD/gguf", "$PWD/bench"]
}
END
node node_modules/typescript/bin/tsc -p "$work/tsconfig.json"
cp -r package.json CMakeLists.txt cmake native "$work/base/app/"
mkdir -p "$work/base/app/gguf/tiny"
cp gguf/tiny/self-check.json gguf/tiny/README.md "$work/base/app/gguf/tiny/"

# --- the engine: what the addon, the CUDA backend and llama.cpp's benchmarks are built from ---------------------------
say 'takes the sources of the engine, and the dependencies'
node "$work/base/app/bench/gpu/sources.js" "$PWD" "$work/base/app" "$work/base/sources"
engine=$work/base/sources/llama.cpp
find "$engine" -mindepth 1 -maxdepth 1 ! -name CMakeLists.txt ! -name LICENSE ! -name cmake ! -name common ! -name ggml \
  ! -name include ! -name src ! -name tools ! -name vendor ! -name .phi2-pin -exec rm -rf {} +
find "$engine/ggml/src" -mindepth 1 -maxdepth 1 -type d ! -name ggml-cpu ! -name ggml-cuda -exec rm -rf {} +
find "$engine/tools" -mindepth 1 -maxdepth 1 -type d ! -name llama-bench ! -name batched-bench -exec rm -rf {} +
printf 'add_subdirectory(llama-bench)\nadd_subdirectory(batched-bench)\n' >"$engine/tools/CMakeLists.txt"

# --- node-llama-cpp ---------------------------------------------------------------------------------------------------
if [ -n "$peer" ]; then
  say "fetches node-llama-cpp and @node-llama-cpp/$peer"
  mkdir -p "$work/peer" "$work/install"
  cp bench/package.json bench/package-lock.json "$work/install/"
  npm install --prefix "$work/install" --no-save --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error >&2
  # The 35 MB of sources that it would compile.
  rm -f "$work/install/node_modules/node-llama-cpp/llama/gitRelease.bundle"
  cp -r "$work/install/node_modules" "$work/peer/node_modules"
  version=$(node --print 'require("./native/llama.cpp.json").version')
  (cd "$work/peer" && npm pack "@node-llama-cpp/$peer@$version" --silent >/dev/null)
  mv "$work/peer"/node-llama-cpp-*.tgz "$work/peer/plugin.tgz"
fi

# --- parts ------------------------------------------------------------------------------------------------------------
for bundle in base peer; do
  [ -d "$work/$bundle" ] || continue
  say "packs $bundle"
  tar -C "$work/$bundle" -cf - . | xz -T0 -6 | split -b "${part_mib}M" -d - "$out/$bundle.part-"
done
(cd "$out" && sha256sum -- *.part-* >MANIFEST)
say "$(wc -l <"$out/MANIFEST") parts, $(du -sm "$out" | cut -f1) MB in $out; the repository itself has $(git ls-files -z | du -cm --files0-from=- | tail -n 1 | cut -f1) MB"
