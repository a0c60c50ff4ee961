#include "core/plugin.h"

#include <exception>
#include <map>
#include <mutex>

#include "core/log.h"
#include "ggml-backend.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace phi2 {
namespace {

LoadedBackend Load(const std::string& path) {
  LoadedBackend loaded;
  // Kept open: the engine closes what it cannot use, and an exception may point into it.
  loaded.reason = OpenLibrary(path);
  if (!loaded.reason.empty()) return loaded;
  // The engine says why only in its log, and a graphics driver may throw through it.
  LogCapture log;
  try {
    ggml_backend_reg_t backend = ggml_backend_load(path.c_str());
    if (backend != nullptr) {
      loaded.name = ggml_backend_reg_name(backend);
      loaded.n_devices = ggml_backend_reg_dev_count(backend);
    }
    loaded.reason = log.Summary();
  } catch (const std::exception& failure) {
    loaded.reason = failure.what();
  } catch (...) {
    loaded.reason = "it failed without a reason";
  }
  if (loaded.name.empty() && loaded.reason.empty()) loaded.reason = "it does not support this machine";
  return loaded;
}

}  // namespace

LoadedBackend LoadBackend(const std::string& path) {
  static std::mutex mutex;
  static std::map<std::string, LoadedBackend> known;
  std::lock_guard<std::mutex> lock(mutex);
  auto found = known.find(path);
  if (found != known.end()) return found->second;
  InstallLog();
  return known[path] = Load(path);
}

std::string OpenLibrary(const std::string& name) {
#if defined(_WIN32)
  DWORD mode = 0;
  SetThreadErrorMode(SEM_FAILCRITICALERRORS, &mode);
  HMODULE library = LoadLibraryA(name.c_str());
  DWORD failure = GetLastError();
  SetThreadErrorMode(mode, nullptr);
  return library == nullptr ? "error " + std::to_string(failure) : "";
#else
  // Whoever needs it finds it by its name, local or not; local, its symbols get in nobody else's way.
  if (dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL) != nullptr) return "";
  const char* reason = dlerror();
  return reason == nullptr ? "it cannot be opened" : reason;
#endif
}

}  // namespace phi2
