# llama.cpp, configured for this package: shared libraries beside the addon, backends as plug-ins chosen at run time.
if(NOT EXISTS "${LLAMA_CPP_DIR}/include/llama.h")
  message(FATAL_ERROR "No llama.cpp sources in ${LLAMA_CPP_DIR}. `npm run build` fetches them; or set LLAMA_CPP_DIR.")
endif()

set(BUILD_SHARED_LIBS ON CACHE BOOL "" FORCE)
set(GGML_BACKEND_DL ON CACHE BOOL "" FORCE)
set(GGML_NATIVE OFF CACHE BOOL "" FORCE)      # refused together with GGML_BACKEND_DL: features are passed by name
set(GGML_OPENMP OFF CACHE BOOL "" FORCE)      # one dependency less; the engine owns its thread pool
set(GGML_CCACHE OFF CACHE BOOL "" FORCE)
foreach(part COMMON TESTS TOOLS EXAMPLES SERVER APP UI MTMD)
  set(LLAMA_BUILD_${part} OFF CACHE BOOL "" FORCE)
endforeach()
set(LLAMA_OPENSSL OFF CACHE BOOL "" FORCE)
set(LLAMA_BUILD_IS_DEV OFF CACHE BOOL "" FORCE)  # the pin is a release
set(LLAMA_ALL_WARNINGS OFF CACHE BOOL "" FORCE)

# GPU plug-ins from npm ask for `libggml-base.so` by that exact name; a versioned SONAME would bring in a second copy
# of ggml-base with its own state.
set(CMAKE_PLATFORM_NO_VERSIONED_SONAME ON)
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
if(APPLE)
  set(CMAKE_INSTALL_RPATH "@loader_path")
else()
  set(CMAKE_INSTALL_RPATH "$ORIGIN")
endif()

# --- CPU features ---------------------------------------------------------------------------------------------
# On x86 a local build takes the features that both this machine and this compiler have, read from the compiler's
# predefined macros under -march=native. Elsewhere, and for prebuilt packages, every variant is built.
function(phi2_host_x86_features)
  execute_process(COMMAND ${CMAKE_C_COMPILER} -march=native -dM -E -x c /dev/null OUTPUT_VARIABLE macros ERROR_QUIET)
  set(feature_of___SSE4_2__ SSE42)
  set(feature_of___AVX__ AVX)
  set(feature_of___AVX2__ AVX2)
  set(feature_of___BMI2__ BMI2)
  set(feature_of___AVXVNNI__ AVX_VNNI)
  set(feature_of___FMA__ FMA)
  set(feature_of___F16C__ F16C)
  set(feature_of___AVX512BW__ AVX512)
  set(feature_of___AVX512VBMI__ AVX512_VBMI)
  set(feature_of___AVX512VNNI__ AVX512_VNNI)
  set(feature_of___AVX512BF16__ AVX512_BF16)
  set(feature_of___AMX_TILE__ AMX_TILE)
  set(feature_of___AMX_INT8__ AMX_INT8)
  set(found "")
  foreach(macro __SSE4_2__ __AVX__ __AVX2__ __BMI2__ __AVXVNNI__ __FMA__ __F16C__ __AVX512BW__ __AVX512VBMI__
                __AVX512VNNI__ __AVX512BF16__ __AMX_TILE__ __AMX_INT8__)
    set(feature ${feature_of_${macro}})
    if(macros MATCHES "#define ${macro} ")
      set(GGML_${feature} ON CACHE BOOL "" FORCE)
      list(APPEND found ${feature})
    else()
      set(GGML_${feature} OFF CACHE BOOL "" FORCE)
    endif()
  endforeach()
  message(STATUS "CPU features of this machine: ${found}")
endfunction()

if(NOT PHI2_PORTABLE AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND NOT MSVC)
  set(GGML_CPU_ALL_VARIANTS OFF CACHE BOOL "" FORCE)
  phi2_host_x86_features()
else()
  set(GGML_CPU_ALL_VARIANTS ON CACHE BOOL "" FORCE)
endif()

# std::thread and std::mutex are winpthreads there, which GCC links by itself and clang does not.
if(MINGW)
  link_libraries(pthread)
endif()
add_subdirectory("${LLAMA_CPP_DIR}" "${CMAKE_BINARY_DIR}/engine" EXCLUDE_FROM_ALL)

# GCC's dead-store elimination removes the stores that fill the AMX tile configuration (the intrinsic's memory operand
# covers 8 of its 64 bytes), and the process dies in ldtilecfg on the first longer prompt on Sapphire Rapids or later.
# Clang compiles it right.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  foreach(file amx.cpp mmq.cpp)
    set_property(SOURCE "${LLAMA_CPP_DIR}/ggml/src/ggml-cpu/amx/${file}" TARGET_DIRECTORY ggml-base
                 APPEND PROPERTY COMPILE_OPTIONS -fno-dse -fno-tree-dse)
  endforeach()
endif()

if(MINGW)
  set_property(SOURCE "${LLAMA_CPP_DIR}/ggml/src/ggml-cpu/ggml-cpu.c" TARGET_DIRECTORY ggml-base
               APPEND PROPERTY COMPILE_OPTIONS -include "${CMAKE_SOURCE_DIR}/native/compat/mingw.h")
endif()

# Everything that is loaded together lies together: the rpath is the addon's own folder.
set(PHI2_OUTPUT_DIR "${CMAKE_BINARY_DIR}/$<IF:$<CONFIG:Debug>,Debug,Release>")
get_property(backends DIRECTORY "${LLAMA_CPP_DIR}/ggml/src" PROPERTY BUILDSYSTEM_TARGETS)
list(FILTER backends INCLUDE REGEX "^ggml-cpu(-.*)?$")
list(FILTER backends EXCLUDE REGEX "-feats$")
# The others are described in folders of their own, and are not among the targets of this one.
foreach(name cuda vulkan metal blas)
  if(TARGET ggml-${name})
    list(APPEND backends ggml-${name})
  endif()
endforeach()
foreach(target llama ggml ggml-base ${backends})
  set_target_properties(${target} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${PHI2_OUTPUT_DIR}"
                                             RUNTIME_OUTPUT_DIRECTORY "${PHI2_OUTPUT_DIR}")
endforeach()
