# Compiles on Debian or Ubuntu x64 for Linux on arm64: clang with the C and C++ libraries of g++-aarch64-linux-gnu. GCC 12
# knows no SME, which the variants for the newest processors use. Programs run under qemu-user, if that is installed.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)

find_program(PHI2_CROSS_CC NAMES clang-22 clang-21 clang-20 clang-19 clang-18 clang-17 clang-16 clang REQUIRED)
find_program(PHI2_CROSS_CXX NAMES clang++-22 clang++-21 clang++-20 clang++-19 clang++-18 clang++-17 clang++-16 clang++ REQUIRED)
set(CMAKE_C_COMPILER "${PHI2_CROSS_CC}")
set(CMAKE_CXX_COMPILER "${PHI2_CROSS_CXX}")
set(CMAKE_C_COMPILER_TARGET aarch64-linux-gnu)
set(CMAKE_CXX_COMPILER_TARGET aarch64-linux-gnu)

set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

find_program(PHI2_QEMU NAMES qemu-aarch64 qemu-aarch64-static)
if(PHI2_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${PHI2_QEMU};-L;/usr/aarch64-linux-gnu")
endif()
