#!/usr/bin/env bash
# Shows without a GPU that the CUDA backend compiles, links and is found by the loader, with the CUDA 11.8 of Debian 12.
#
#   scripts/cuda-build-check.sh [--install]
#
# --install adds Debian's contrib and non-free components as an apt source of its own and installs the toolkit (6 GB on
# the disk; as root). The build goes into build/cuda-check and leaves build/Release alone: 25 minutes on two cores that
# have nothing else to do. Ends with 1 if anything is not as it should be. What was found is printed as Markdown, and
# written to build/cuda-check/summary.md; docs/gpu.md has the summary of one run.
#
# CMAKE_CUDA_ARCHITECTURES (by default 80: CUDA 11.8 lacks two device functions that llama.cpp uses for 90 and later),
# CUDAHOSTCXX and LLAMA_CPP_DIR are heeded, and ccache is used where there is one.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly out=build/cuda-check
readonly free_kib_needed=$((10 * 1024 * 1024))

say() { printf 'cuda-build-check: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

install_toolkit() {
  # shellcheck source=/dev/null
  . /etc/os-release
  [ "${ID:-} ${VERSION_CODENAME:-}" = 'debian bookworm' ] || fail "--install knows Debian 12 only, this is ${PRETTY_NAME:-unknown}."
  local free
  free=$(df --output=avail / | tail -n 1)
  [ "$free" -ge "$free_kib_needed" ] || fail "10 GiB must be free on /, found $((free / 1024 / 1024))."
  local mirror
  mirror=$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\{0,1\}\(http[^ ]*\/debian\) .*/\2/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources 2>/dev/null | grep -m 1 '/debian/\{0,1\}$' || true)
  [ -n "$mirror" ] || fail 'No Debian mirror is named in /etc/apt.'
  printf 'Types: deb\nURIs: %s\nSuites: bookworm\nComponents: contrib non-free\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' \
    "$mirror" >/etc/apt/sources.list.d/phi2-cuda.sources
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq -o DPkg::Lock::Timeout=600 --no-install-recommends nvidia-cuda-toolkit nvidia-cuda-dev g++-11 >/dev/null
}

case "${1:-}" in
  --install) install_toolkit ;;
  '') ;;
  *) fail "Expected --install or nothing, found $1." ;;
esac

# Debian's nvcc, whatever else is on the PATH.
if [ -z "${CUDACXX:-}" ] && [ -x /usr/lib/nvidia-cuda-toolkit/bin/nvcc ]; then
  export CUDACXX=/usr/lib/nvidia-cuda-toolkit/bin/nvcc
fi
if [ -z "${CUDAHOSTCXX:-}" ] && command -v g++-11 >/dev/null; then export CUDAHOSTCXX=g++-11; fi
export CMAKE_CUDA_ARCHITECTURES=${CMAKE_CUDA_ARCHITECTURES:-80}
if command -v ccache >/dev/null; then
  export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache CMAKE_CUDA_COMPILER_LAUNCHER=ccache
fi

started=$(date +%s)
nice -n 19 node --import tsx scripts/build.ts --cuda "--out=$out"
minutes=$((($(date +%s) - started + 30) / 60))

readonly library=$out/Release/libggml-cuda.so
[ -f "$library" ] || fail "$library was not built."
# one entry of the compile commands for each file
files=$(grep -c '"file": ".*\.cu"' "$out/compile_commands.json")

# The loader's word: the backend is there, and why it serves no device (or the devices, where there is a GPU).
found=$(PHI2_BINDING=$out/Release/phi2.node PHI2_PLUGINS=off node --import tsx --input-type=module --eval "
  const { systemReport } = await import('./src/system.ts')
  const cuda = systemReport().backends.find(({ name }) => name === 'cuda')
  if (cuda.state !== 'no-device' && cuda.state !== 'ready') {
    console.error(JSON.stringify(cuda, null, 2))
    process.exit(1)
  }
  console.log(cuda.state === 'ready' ? cuda.devices.map(({ description }) => description).join(', ') : cuda.reason)
") || fail 'The loader did not take the backend.'

missing=$(ldd "$library" | awk '/not found/ { print $1 }' | sort -u | paste -sd ' ' -)
{
  printf '| | |\n| --- | --- |\n'
  printf '| toolkit | CUDA %s |\n' "$("${CUDACXX:-nvcc}" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')"
  printf '| host compiler | %s |\n' "$("${CUDAHOSTCXX:-g++}" --version | head -n 1)"
  printf '| architecture | %s |\n' "$CMAKE_CUDA_ARCHITECTURES"
  printf '| CUDA files | %s |\n' "$files"
  printf '| time | %s minutes on %s processors |\n' "$minutes" "$(nproc)"
  printf '| libggml-cuda.so | %s bytes |\n' "$(stat -c %s "$library")"
  printf '| libraries not found by ldd | %s |\n' "${missing:-none}"
  printf '| loader | %s |\n' "$found"
} | tee "$out/summary.md"
