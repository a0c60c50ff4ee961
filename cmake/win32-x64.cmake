# Compiles on Debian or Ubuntu for Windows on x64: clang with the linker and the libraries of
# g++-mingw-w64-x86-64-posix. GCC for Windows keeps 32-byte vectors on a stack that is aligned to 16 bytes, which crashes.
# Programs run under Wine, if that is installed.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR AMD64)

set(PHI2_CROSS_TARGET x86_64-w64-windows-gnu)
set(PHI2_CROSS_ROOT /usr/x86_64-w64-mingw32)
include("${CMAKE_CURRENT_LIST_DIR}/cross-clang.cmake")
set(CMAKE_RC_COMPILER x86_64-w64-mingw32-windres)
set(CMAKE_DLLTOOL x86_64-w64-mingw32-dlltool)

# Clang does not know what Debian calls GCC's folder (12-posix): it is shown the same files under a plain number.
get_filename_component(sysroot "${CMAKE_CURRENT_LIST_DIR}/../build/mingw" ABSOLUTE)
file(GLOB folders "/usr/lib/gcc/x86_64-w64-mingw32/*-posix")
list(GET folders -1 gcc)
string(REGEX REPLACE ".*/([0-9]+)-posix$" "\\1" version "${gcc}")
file(MAKE_DIRECTORY "${sysroot}/lib/gcc/x86_64-w64-mingw32")
file(CREATE_LINK "${gcc}" "${sysroot}/lib/gcc/x86_64-w64-mingw32/${version}" SYMBOLIC)
file(CREATE_LINK /usr/x86_64-w64-mingw32 "${sysroot}/x86_64-w64-mingw32" SYMBOLIC)
set(CMAKE_SYSROOT "${sysroot}")
# GCC's C++ library keeps its thread-local variables as GCC for Windows does: emulated.
set(CMAKE_CXX_FLAGS_INIT -femulated-tls)
foreach(kind EXE SHARED MODULE)
  set(CMAKE_${kind}_LINKER_FLAGS_INIT --ld-path=/usr/bin/x86_64-w64-mingw32-ld)
endforeach()

find_program(PHI2_WINE NAMES wine64 wine PATHS /usr/lib/wine)
if(PHI2_WINE)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${PHI2_WINE}")
endif()
