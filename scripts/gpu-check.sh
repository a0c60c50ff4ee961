#!/usr/bin/env bash
# Checks this package on an NVIDIA GPU: on a bare Linux machine with nvcc, cuBLAS, cmake, make or ninja, a C++ compiler and
# python3, without Node and without a network, from a copy of the working tree with build/gpu-pack in it
# (scripts/gpu-pack.sh makes that). What is found goes to RESULTS as gpu-check.json and gpu-check.md.
#
#   scripts/gpu-check.sh STAGE…
#
#   collect    takes over the parts that lie in build/gpu-pack; when all are there, unpacks them
#   cpu        builds the addon for the CPU, which the plug-in is loaded into            (2 minutes on 16 cores)
#   tools      builds llama.cpp's benchmarks, with the same options                      (2 minutes)
#   cuda       builds the addon with CUDA for the GPU of this machine; goes on where it was stopped   (5 minutes and more)
#   models     makes the models: Phi-2 at full size with random weights in F16, F32 and Q4_K_M, 19 GB
#   modes      runs the four execution modes, reads 1,500 tokens, compares with the CPU
#   plugin     installs the plug-in from its tarball, and runs phi-2-tiny with it
#   speed_f16, speed_q4_k_m   measure prefill and decode for 1, 8 and 64 streams beside llama-bench and node-llama-cpp
#   report     writes the results
#   all        all of them, in this order
#
# Each stage is a command of its own, so that none takes longer than 10 minutes; what a stage needs stays in GPU_CHECK_WORK
# (by default /var/tmp/phi2-gpu-check). The results lie there in results/, and are copied to OUT if it is set.
# GPU_CHECK_CPU=1 rehearses on a machine without a GPU: the CPU stands in for it, with small models.
set -euo pipefail
cd "$(dirname "$0")/.."

checkout=$PWD
export GPU_CHECK_WORK=${GPU_CHECK_WORK:-/var/tmp/phi2-gpu-check}
export GPU_CHECK_CPU=${GPU_CHECK_CPU:-0}
readonly pack=$checkout/build/gpu-pack
readonly node=$GPU_CHECK_WORK/bin/node
readonly app=$GPU_CHECK_WORK/app
# Nothing of the user's own: no models, no plug-ins, no profiles.
export PHI2_CACHE=$GPU_CHECK_WORK/cache
export LLAMA_CPP_DIR=$GPU_CHECK_WORK/sources/llama.cpp
unset PHI2_MODEL PHI2_BINDING

say() { printf 'gpu-check: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

run() { "$node" "$app/bench/gpu/$1.js" "${@:2}"; }

# The command line of the package.
phi2() { "$node" "$app/src/cli/main.js" "$@"; }

need() {
  for tool in "$@"; do command -v "$tool" >/dev/null || fail "$tool is needed and not on the PATH."; done
}

# A line about a stage in the report.
note() {
  mkdir -p "$GPU_CHECK_WORK/results"
  python3 - "$GPU_CHECK_WORK/results/stages.json" "$1" "$2" <<'END'
import json, os, sys
path, name, text = sys.argv[1:]
stages = json.load(open(path)) if os.path.exists(path) else {}
stages[name] = text
json.dump(stages, open(path, "w"), indent=2)
END
}

stage_collect() {
  need python3 sha256sum
  [ -f "$pack/MANIFEST" ] || fail "$pack/MANIFEST is missing; scripts/gpu-pack.sh makes it."
  mkdir -p "$GPU_CHECK_WORK/parts"
  cp "$pack/MANIFEST" "$GPU_CHECK_WORK/parts/"
  local part
  for part in "$pack"/*.part-*; do
    if [ -f "$part" ]; then cp "$part" "$GPU_CHECK_WORK/parts/"; fi
  done
  cd "$GPU_CHECK_WORK/parts"
  local missing=()
  while read -r _ part; do
    [ -f "$part" ] || missing+=("$part")
  done <MANIFEST
  if [ "${#missing[@]}" -gt 0 ]; then
    say "still to come: ${missing[*]}"
    return 0
  fi
  sha256sum --check --quiet MANIFEST
  unpack base "$GPU_CHECK_WORK"
  if grep -q 'peer\.part-' MANIFEST; then
    unpack peer "$GPU_CHECK_WORK/peer"
    install_peer
  fi
  ln -sf "$checkout"/gguf/tiny/*.gguf "$app/gguf/tiny/"
  say "all is there: Node $("$node" --version), $(du -sm "$GPU_CHECK_WORK" | cut -f1) MB in $GPU_CHECK_WORK"
}

# Parts of a .tar.xz into a folder; Python knows xz where the system does not.
unpack() {
  mkdir -p "$2"
  cat "$1".part-* | python3 -c '
import lzma, sys, tarfile
with lzma.open(sys.stdin.buffer) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
    archive.extractall(sys.argv[1])
' "$2"
}

# node-llama-cpp finds the package of its platform beside itself.
install_peer() {
  python3 - "$GPU_CHECK_WORK/peer" <<'END'
import json, os, shutil, sys, tarfile
peer = sys.argv[1]
scope = os.path.join(peer, "node_modules", "@node-llama-cpp")
os.makedirs(scope, exist_ok=True)
with tarfile.open(os.path.join(peer, "plugin.tgz")) as archive:
    name = json.load(archive.extractfile("package/package.json"))["name"]
    archive.extractall(scope)
folder = os.path.join(scope, name.split("/")[1])
shutil.rmtree(folder, ignore_errors=True)
os.rename(os.path.join(scope, "package"), folder)
END
}

stage_tools() {
  need cmake python3
  local generator=()
  if command -v ninja >/dev/null; then generator=(-G Ninja); else need make; fi
  local cache=$GPU_CHECK_WORK/build-cpu/CMakeCache.txt same=()
  [ -f "$cache" ] || fail 'The stage cpu comes before tools.'
  mapfile -t same < <(sed -n 's/^\(GGML_[A-Z0-9_]*\|CMAKE_C_COMPILER\|CMAKE_CXX_COMPILER\):\(BOOL\|STRING\|FILEPATH\)=\(.\)/-D\1=\3/p' "$cache")
  # as cmake/engine.cmake does for the AMX kernels
  grep -q '^CMAKE_CXX_COMPILER:.*clang' "$cache" || same+=('-DCMAKE_CXX_FLAGS=-fno-dse -fno-tree-dse')
  # The CUDA backend is not compiled twice: stage_cuda puts the addon's own beside these programs. It asks for
  # libggml-base.so by that name.
  cmake -S "$LLAMA_CPP_DIR" -B "$GPU_CHECK_WORK/tools" "${generator[@]}" "${same[@]}" -DCMAKE_BUILD_TYPE=Release \
    -DBUILD_SHARED_LIBS=ON -DCMAKE_PLATFORM_NO_VERSIONED_SONAME=ON -DLLAMA_BUILD_COMMON=ON -DLLAMA_BUILD_TOOLS=ON \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF \
    -DLLAMA_BUILD_UI=OFF -DLLAMA_BUILD_MTMD=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_IS_DEV=OFF \
    >"$GPU_CHECK_WORK/tools.log"
  cmake --build "$GPU_CHECK_WORK/tools" --parallel "$(nproc)" >>"$GPU_CHECK_WORK/tools.log" 2>&1 ||
    fail "llama.cpp's benchmarks could not be built: $(grep -m 3 -i error "$GPU_CHECK_WORK/tools.log")"
  [ -x "$GPU_CHECK_WORK/tools/bin/llama-batched-bench" ] || fail 'llama-batched-bench was not built.'
  say "built $GPU_CHECK_WORK/tools/bin"
}

stage_cpu() {
  need cmake
  run build "$GPU_CHECK_WORK/build-cpu"
}

stage_cuda() {
  need cmake
  local started=$SECONDS
  if [ "$GPU_CHECK_CPU" = 1 ]; then
    run build "$GPU_CHECK_WORK/build-gpu"
    note build 'a rehearsal without CUDA'
    return 0
  fi
  run build "$GPU_CHECK_WORK/build-gpu" --cuda
  cp "$GPU_CHECK_WORK/build-gpu/Release/libggml-cuda.so" "$GPU_CHECK_WORK/tools/bin/"
  note build "$(grep -m 1 '^CMAKE_CUDA_COMPILER:' "$GPU_CHECK_WORK/build-gpu/CMakeCache.txt" | cut -d= -f2), architectures \
$(grep -m 1 '^CMAKE_CUDA_ARCHITECTURES:' "$GPU_CHECK_WORK/build-gpu/CMakeCache.txt" | cut -d= -f2), \
$(((SECONDS - started + 30) / 60)) minutes on $(nproc) processors in the last call, \
libggml-cuda.so has $(stat -c %s "$GPU_CHECK_WORK/build-gpu/Release/libggml-cuda.so") bytes"
}

# The addon that was built with CUDA, and not the plug-in.
with_built() {
  PHI2_BINDING=$GPU_CHECK_WORK/build-gpu/Release/phi2.node PHI2_PLUGINS=off "$@"
}

with_plugin() {
  PHI2_BINDING=$GPU_CHECK_WORK/build-cpu/Release/phi2.node "$@"
}

stage_models() { with_built run models; }

stage_modes() {
  with_built phi2 doctor
  with_built run modes
}

stage_plugin() {
  local tarball=$GPU_CHECK_WORK/peer/plugin.tgz
  if [ "$GPU_CHECK_CPU" = 1 ] || [ ! -f "$tarball" ]; then
    note plug-in 'not run: no CUDA package was carried along'
    return 0
  fi
  with_plugin phi2 gpu add cuda --tarball "$tarball"
  with_plugin phi2 doctor --json >"$GPU_CHECK_WORK/results/doctor-plugin.json" || true
  with_plugin run modes plugin
  note plug-in "$(with_plugin phi2 gpu ls | tail -n 1)"
}

stage_speed_f16() { with_built run speed f16; }
stage_speed_q4_k_m() { with_built run speed q4_k_m; }

stage_report() {
  with_built run report
  cat "$GPU_CHECK_WORK/results/gpu-check.md"
  if [ -n "${OUT:-}" ]; then cp "$GPU_CHECK_WORK"/results/gpu-check.* "$OUT/"; fi
}

[ "$#" -gt 0 ] || fail 'Expected one or more of: collect cpu tools cuda models modes plugin speed_f16 speed_q4_k_m report all.'
for stage in "$@"; do
  case $stage in
    all) set -- collect cpu tools cuda models modes plugin speed_f16 speed_q4_k_m report && break ;;
    collect | cpu | tools | cuda | models | modes | plugin | speed_f16 | speed_q4_k_m | report) ;;
    *) fail "There is no stage $stage." ;;
  esac
done
for stage in "$@"; do
  [ "$stage" = collect ] || [ -x "$node" ] || fail "$node is missing: the stage collect comes first."
  say "stage $stage"
  (cd "$checkout" && "stage_$stage")
done
