#include <napi.h>

#include "addon/addon_data.h"
#include "addon/engine_wrap.h"
#include "addon/errors.h"
#include "addon/evaluation_wrap.h"
#include "addon/matcher_wrap.h"
#include "addon/model_wrap.h"
#include "addon/quantize_wrap.h"
#include "core/backend.h"
#include "core/plugin.h"

namespace phi2 {
namespace {

void InitBackendFrom(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsString()) throw BadArgument(info.Env(), "Expected a string for folder.");
  Guard(info.Env(), [&] { InitBackend(info[0].As<Napi::String>().Utf8Value()); });
}

Napi::Value LoadBackendFrom(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() < 1 || !info[0].IsString()) throw BadArgument(env, "Expected a string for path.");
  LoadedBackend loaded = LoadBackend(info[0].As<Napi::String>().Utf8Value());
  Napi::Object result = Napi::Object::New(env);
  result.Set("name", loaded.name);
  result.Set("devices", static_cast<double>(loaded.n_devices));
  result.Set("reason", loaded.reason);
  return result;
}

Napi::Value OpenLibraryNamed(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsString()) throw BadArgument(info.Env(), "Expected a string for name.");
  return Napi::String::New(info.Env(), OpenLibrary(info[0].As<Napi::String>().Utf8Value()));
}

Napi::Object DescribeDevice(Napi::Env env, const Device& device) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("name", device.name);
  object.Set("description", device.description);
  object.Set("type", device.type);
  object.Set("backend", device.backend);
  if (!device.id.empty()) object.Set("id", device.id);
  object.Set("memoryTotal", static_cast<double>(device.memory_total));
  object.Set("memoryFree", static_cast<double>(device.memory_free));
  return object;
}

/// The argument says whether their memory is wanted; it is, if there is none.
Napi::Value Devices(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const bool memory = info.Length() == 0 || info[0].ToBoolean().Value();
  Napi::Array devices = Napi::Array::New(env);
  for (const Device& device : ListDevices(memory)) devices.Set(devices.Length(), DescribeDevice(env, device));
  return devices;
}

Napi::Value BackendInfo(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Object result = Napi::Object::New(env);
  Napi::Array backends = Napi::Array::New(env);
  for (const BackendFeatures& backend : ListBackends()) {
    Napi::Object features = Napi::Object::New(env);
    for (const auto& [name, value] : backend.features) features.Set(name, value);
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", backend.name);
    object.Set("path", backend.path);
    object.Set("features", features);
    backends.Set(backends.Length(), object);
  }
  result.Set("devices", Devices(info));
  result.Set("backends", backends);
  result.Set("cpuBackendPath", CpuBackendPath());
  return result;
}

void StopForExit(const Napi::CallbackInfo& info) {
  std::set<StopsAtExit*> to_stop;
  to_stop.swap(info.Env().GetInstanceData<AddonData>()->to_stop);
  for (StopsAtExit* member : to_stop) member->StopForExit();
}

Napi::Object Versions(Napi::Env env) {
  Napi::Object versions = Napi::Object::New(env);
  versions.Set("llama", llama_version());
  versions.Set("ggml", ggml_version());
  versions.Set("napi", NAPI_VERSION);
  return versions;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  auto* data = new AddonData();
  data->engine_class = Napi::Persistent(EngineWrap::Define(env));
  env.SetInstanceData(data);
  exports.Set("versions", Versions(env));
  exports.Set("initBackend", Napi::Function::New<InitBackendFrom>(env, "initBackend"));
  exports.Set("loadBackend", Napi::Function::New<LoadBackendFrom>(env, "loadBackend"));
  exports.Set("openLibrary", Napi::Function::New<OpenLibraryNamed>(env, "openLibrary"));
  exports.Set("backendInfo", Napi::Function::New<BackendInfo>(env, "backendInfo"));
  exports.Set("devices", Napi::Function::New<Devices>(env, "devices"));
  exports.Set("measureMemory", Napi::Function::New<MeasureLoad>(env, "measureMemory"));
  exports.Set("loadModel", Napi::Function::New<LoadModel>(env, "loadModel"));
  exports.Set("perplexity", Napi::Function::New<MeasurePerplexity>(env, "perplexity"));
  exports.Set("importance", Napi::Function::New<MeasureImportance>(env, "importance"));
  exports.Set("quantize", Napi::Function::New<QuantizeFile>(env, "quantize"));
  exports.Set("fileTypeName", Napi::Function::New<FileTypeName>(env, "fileTypeName"));
  exports.Set("stopForExit", Napi::Function::New<StopForExit>(env, "stopForExit"));
  exports.Set("StopMatcher", DefineStopMatcher(env));
  exports.Set("Utf8Assembler", DefineUtf8Assembler(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(phi2, Init)

}  // namespace phi2
