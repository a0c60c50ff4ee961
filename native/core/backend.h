#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace phi2 {

struct Device {
  std::string name;
  std::string description;
  std::string type;  ///< cpu, gpu, igpu, accel
  std::string backend;
  std::string id;  ///< PCI address, where it has one: the same card may be a device of two backends
  uint64_t memory_total = 0;
  uint64_t memory_free = 0;
};

struct BackendFeatures {
  std::string name;
  std::string path;  ///< of its shared library; empty where the system does not tell
  std::vector<std::pair<std::string, std::string>> features;
};

/// Process-wide start of the engine: log, backends beside the addon, llama. The first caller does the work (its folder
/// counts), later ones return at once. It is never undone: worker threads come and go, the process keeps the backends.
/// Throws PHI2_BINDING_NOT_FOUND when there is no CPU backend in the folder.
void InitBackend(const std::string& folder);

/// Without `memory` that is left out, and the id with it: a CUDA device sets itself up, and takes some hundred MB of
/// its memory, when it is asked.
std::vector<Device> ListDevices(bool memory);
std::vector<BackendFeatures> ListBackends();

/// Path of the shared library that serves as the CPU backend.
std::string CpuBackendPath();

/// A function of the CPU backend, which is a plug-in and so cannot be linked to. Null if it has none of that name.
void* CpuBackendFunction(const char* name);

}  // namespace phi2
