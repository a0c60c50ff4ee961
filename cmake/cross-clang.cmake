# What the toolchain files of other platforms have in common: clang compiles for PHI2_CROSS_TARGET, and libraries and
# headers are looked for in PHI2_CROSS_ROOT alone.
find_program(PHI2_CROSS_CC NAMES clang-22 clang-21 clang-20 clang-19 clang-18 clang-17 clang-16 clang REQUIRED)
find_program(PHI2_CROSS_CXX NAMES clang++-22 clang++-21 clang++-20 clang++-19 clang++-18 clang++-17 clang++-16 clang++ REQUIRED)
set(CMAKE_C_COMPILER "${PHI2_CROSS_CC}")
set(CMAKE_CXX_COMPILER "${PHI2_CROSS_CXX}")
set(CMAKE_C_COMPILER_TARGET ${PHI2_CROSS_TARGET})
set(CMAKE_CXX_COMPILER_TARGET ${PHI2_CROSS_TARGET})

set(CMAKE_FIND_ROOT_PATH ${PHI2_CROSS_ROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
