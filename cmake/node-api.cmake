# What the addon takes from Node: the headers of Node-API and of node-addon-api, which `npm run build` fetches, and on
# Windows an import library of the functions, which lie in the program that loads the addon.
set(PHI2_NODE_API_HEADERS "${CMAKE_SOURCE_DIR}/build/node-api-headers" CACHE PATH "Folder of the npm package node-api-headers")
set(PHI2_NODE_ADDON_API "${CMAKE_SOURCE_DIR}/build/node-addon-api" CACHE PATH "Folder of the npm package node-addon-api")

foreach(header "${PHI2_NODE_API_HEADERS}/include/node_api.h" "${PHI2_NODE_ADDON_API}/napi.h")
  if(NOT EXISTS "${header}")
    message(FATAL_ERROR "${header} is missing. `npm run build` fetches it.")
  endif()
endforeach()

function(phi2_use_node target)
  target_include_directories(${target} SYSTEM PRIVATE "${PHI2_NODE_API_HEADERS}/include" "${PHI2_NODE_ADDON_API}")
  if(APPLE)
    target_link_options(${target} PRIVATE -undefined dynamic_lookup)
  elseif(WIN32)
    # Loaded when first called, so that the program need not be called node.exe: host_program.cpp finds it.
    set(functions "${PHI2_NODE_API_HEADERS}/def/node_api.def")
    set(library "${CMAKE_CURRENT_BINARY_DIR}/node-api.lib")
    if(MSVC)
      add_custom_command(OUTPUT "${library}" DEPENDS "${functions}" VERBATIM
                         COMMAND "${CMAKE_AR}" /nologo "/def:${functions}" "/out:${library}"
                                 "/machine:${CMAKE_CXX_COMPILER_ARCHITECTURE_ID}")
      target_link_options(${target} PRIVATE /DELAYLOAD:node.exe)
      target_link_libraries(${target} PRIVATE delayimp)
    else()
      add_custom_command(OUTPUT "${library}" DEPENDS "${functions}" VERBATIM
                         COMMAND "${CMAKE_DLLTOOL}" --input-def "${functions}" --output-delaylib "${library}")
    endif()
    target_sources(${target} PRIVATE native/addon/host_program.cpp "${library}")
    target_link_libraries(${target} PRIVATE "${library}")
  endif()
endfunction()
