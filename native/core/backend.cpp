#include "core/backend.h"

#include <mutex>

#include "core/error.h"
#include "core/log.h"
#include "llama.h"

#if defined(__linux__) || defined(__APPLE__)
#include <dlfcn.h>
#elif defined(_WIN32)
#include <filesystem>
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#endif

namespace phi2 {
namespace {

const char* TypeName(enum ggml_backend_dev_type type) {
  switch (type) {
    case GGML_BACKEND_DEVICE_TYPE_GPU:
      return "gpu";
    case GGML_BACKEND_DEVICE_TYPE_IGPU:
      return "igpu";
    case GGML_BACKEND_DEVICE_TYPE_CPU:
      return "cpu";
    default:
      return "accel";
  }
}

ggml_backend_reg_t CpuRegistry() {
  ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  return device == nullptr ? nullptr : ggml_backend_dev_backend_reg(device);
}

// The library that an address belongs to.
std::string LibraryOf(const void* address) {
#if defined(__linux__) || defined(__APPLE__)
  Dl_info info;
  if (address != nullptr && dladdr(address, &info) != 0 && info.dli_fname != nullptr) return info.dli_fname;
#elif defined(_WIN32)
  constexpr DWORD kByAddress = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
  constexpr DWORD kLongestPath = 32768;
  HMODULE library = nullptr;
  if (address == nullptr || !GetModuleHandleExW(kByAddress, static_cast<LPCWSTR>(address), &library)) return "";
  std::wstring path(kLongestPath, L'\0');
  path.resize(GetModuleFileNameW(library, path.data(), kLongestPath));
  return std::filesystem::path(path).u8string();
#endif
  return "";
}

}  // namespace

void InitBackend(const std::string& folder) {
  // Not call_once: a failed start must be able to run again, and exceptions out of call_once hang on some platforms.
  static std::mutex mutex;
  static bool started = false;
  std::lock_guard<std::mutex> lock(mutex);
  if (started) return;
  InstallLog();
  ggml_backend_load_all_from_path(folder.c_str());
  if (CpuRegistry() == nullptr) {
    throw Error("PHI2_BINDING_NOT_FOUND", "Expected a CPU backend (libggml-cpu*) in " + folder +
                                              " but none there runs on this processor. Build it "
                                              "again on this machine with `npm run build`.");
  }
  llama_backend_init();
  started = true;
}

std::vector<Device> ListDevices(bool memory) {
  std::vector<Device> devices;
  for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
    ggml_backend_dev_t dev = ggml_backend_dev_get(i);
    Device device;
    device.name = ggml_backend_dev_name(dev);
    device.description = ggml_backend_dev_description(dev);
    device.type = TypeName(ggml_backend_dev_type(dev));
    device.backend = ggml_backend_reg_name(ggml_backend_dev_backend_reg(dev));
    if (memory) {
      ggml_backend_dev_props props = {};
      ggml_backend_dev_get_props(dev, &props);
      if (props.device_id != nullptr) device.id = props.device_id;
      device.memory_free = props.memory_free;
      device.memory_total = props.memory_total;
    }
    devices.push_back(std::move(device));
  }
  return devices;
}

std::vector<BackendFeatures> ListBackends() {
  std::vector<BackendFeatures> backends;
  for (size_t i = 0; i < ggml_backend_reg_count(); ++i) {
    ggml_backend_reg_t reg = ggml_backend_reg_get(i);
    BackendFeatures backend;
    backend.name = ggml_backend_reg_name(reg);
    // A registry is a static object of its library.
    backend.path = LibraryOf(reg);
    auto get = reinterpret_cast<ggml_backend_get_features_t>(
        ggml_backend_reg_get_proc_address(reg, "ggml_backend_get_features"));
    if (get != nullptr) {
      for (ggml_backend_feature* feature = get(reg); feature->name != nullptr; ++feature) {
        backend.features.emplace_back(feature->name, feature->value);
      }
    }
    backends.push_back(std::move(backend));
  }
  return backends;
}

void* CpuBackendFunction(const char* name) {
  ggml_backend_reg_t reg = CpuRegistry();
  return reg == nullptr ? nullptr : ggml_backend_reg_get_proc_address(reg, name);
}

std::string CpuBackendPath() { return LibraryOf(CpuBackendFunction("ggml_backend_get_features")); }

}  // namespace phi2
