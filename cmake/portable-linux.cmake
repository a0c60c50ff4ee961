# Libraries of a prebuilt package run on systems older than the one that builds them, and beside another C++ library: that
# of Node, or of another addon. So they bring GCC's along, hidden, and no class of theirs is seen by others: a template of
# the C++ library that somebody else compiled must not take the place of ours, nor ours of theirs.
add_link_options(-static-libstdc++
                 "LINKER:--gc-sections,--exclude-libs,ALL,--version-script=${CMAKE_CURRENT_LIST_DIR}/hide-cxx.map")

# A folder of scripts/glibc-stubs.ts: glibc as it was. The threads and the dynamic linker were libraries of their own then.
set(PHI2_GLIBC_STUBS "" CACHE PATH "Folder of libraries to link with instead of this machine's glibc")
if(PHI2_GLIBC_STUBS)
  add_link_options("-L${PHI2_GLIBC_STUBS}" "LINKER:--push-state,--no-as-needed,-l:libpthread.so.0,-l:libdl.so.2,--pop-state")
endif()
