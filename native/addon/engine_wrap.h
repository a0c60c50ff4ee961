#pragma once

#include <napi.h>

#include <memory>

#include "addon/addon_data.h"
#include "addon/event_channel.h"
#include "core/engine.h"

namespace phi2 {

/// An engine and the channel that it reports to. The engine goes first: its thread may still use the channel.
struct EngineParts {
  std::shared_ptr<EventChannel> channel;
  std::shared_ptr<Engine> engine;
};

/// `NativeEngine` of src/native.ts. JS thread only.
///
/// Ends by close(), by the collector, or by the environment's cleanup hook, whichever comes first; each of them joins
/// the engine thread before the channel's thread-safe function goes.
class EngineWrap : public Napi::ObjectWrap<EngineWrap>, private StopsAtExit {
 public:
  static Napi::Function Define(Napi::Env env);
  /// Only the loader makes instances.
  static Napi::Object Create(Napi::Env env, EngineParts parts);

  explicit EngineWrap(const Napi::CallbackInfo& info);
  ~EngineWrap() override;

 private:
  Napi::Value Info(const Napi::CallbackInfo& info);
  Napi::Value MaxPromptBytes(const Napi::CallbackInfo& info);
  Napi::Value Tokenize(const Napi::CallbackInfo& info);
  Napi::Value TokenizeAsync(const Napi::CallbackInfo& info);
  Napi::Value Detokenize(const Napi::CallbackInfo& info);
  Napi::Value TokenText(const Napi::CallbackInfo& info);
  Napi::Value Submit(const Napi::CallbackInfo& info);
  void Abort(const Napi::CallbackInfo& info);
  void Pause(const Napi::CallbackInfo& info);
  void Resume(const Napi::CallbackInfo& info);
  Napi::Value Stats(const Napi::CallbackInfo& info);
  Napi::Value CellBytes(const Napi::CallbackInfo& info);
  Napi::Value CachedPrefix(const Napi::CallbackInfo& info);
  Napi::Value ReadCells(const Napi::CallbackInfo& info);
  Napi::Value WriteCells(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);
  Napi::Value Free(const Napi::CallbackInfo& info);

  static void OnEnvironmentEnd(void* data);
  Engine& OpenEngine(Napi::Env env);
  const std::shared_ptr<Engine>& SharedEngine(Napi::Env env);
  /// The vocabulary outlives the engine: events that are delivered while it closes still need it.
  const std::shared_ptr<Model>& OpenModel(Napi::Env env);
  void StopForExit() override;
  void Forget();

  napi_env env_;
  EngineParts parts_;
  std::shared_ptr<Model> model_;  // until free()
  bool hooked_ = false;
  bool closing_ = false;
};

}  // namespace phi2
