# Compiles on Debian or Ubuntu x64 for Linux on arm64: clang with the C and C++ libraries of g++-aarch64-linux-gnu. GCC 12
# knows no SME, which the variants for the newest processors use. Programs run under qemu-user, if that is installed.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)

set(PHI2_CROSS_TARGET aarch64-linux-gnu)
set(PHI2_CROSS_ROOT /usr/aarch64-linux-gnu)
include("${CMAKE_CURRENT_LIST_DIR}/cross-clang.cmake")

find_program(PHI2_QEMU NAMES qemu-aarch64 qemu-aarch64-static)
if(PHI2_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${PHI2_QEMU};-L;/usr/aarch64-linux-gnu")
endif()
