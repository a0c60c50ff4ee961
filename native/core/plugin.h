#pragma once

#include <cstddef>
#include <string>

namespace phi2 {

/// What became of a GPU backend that was to be loaded.
struct LoadedBackend {
  std::string name;  ///< in the engine's registry: CUDA, Vulkan; empty if it was not loaded
  size_t n_devices = 0;
  std::string reason;  ///< why it was not loaded, or what it warned of: that it found no device, say
};

/// Loads a GPU backend from a shared library, for the whole process and for good. Asked again for the same path, in
/// whatever environment, it tells what became of it the first time. Any thread, one at a time. Never throws for a
/// library that cannot be used: that is its `reason`.
LoadedBackend LoadBackend(const std::string& path);

/// Opens a shared library for those that will ask for it by its name, which then need not find it themselves. It stays
/// open. `name` without a slash is searched as the system does. Empty, or the reason why not.
std::string OpenLibrary(const std::string& name);

}  // namespace phi2
