#include "addon/engine_wrap.h"

#include <cmath>
#include <system_error>

#include "addon/addon_data.h"
#include "addon/arrays.h"
#include "addon/cells_wrap.h"
#include "addon/errors.h"
#include "addon/model_wrap.h"
#include "addon/options.h"
#include "addon/promise_task.h"

namespace phi2 {
namespace {

std::string TextArgument(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsString()) throw BadArgument(info.Env(), "Expected a string for text.");
  return info[0].As<Napi::String>().Utf8Value();
}

bool FlagArgument(const Napi::CallbackInfo& info, size_t index) {
  return info.Length() > index && info[index].ToBoolean().Value();
}

uint32_t IdArgument(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsNumber()) throw BadArgument(info.Env(), "Expected a number for id.");
  return info[0].As<Napi::Number>().Uint32Value();
}

/// What must be done is done on this thread when no other is to be had.
Napi::Value RunOrWait(Napi::Env env, const char* name, const PromiseTask& task) {
  try {
    return RunTask(env, name, task);
  } catch (const std::system_error&) {
    task.work();
    Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
    deferred.Resolve(task.result(env));
    return deferred.Promise();
  }
}

Napi::Error NoToken(Napi::Env env, const std::string& found, int32_t n_vocab) {
  Napi::RangeError error = Napi::RangeError::New(
      env, "Expected a token id from 0 to " + std::to_string(n_vocab - 1) + " but received " + found + ".");
  error.Set("code", Napi::String::New(env, "PHI2_INVALID_OPTION"));
  return error;
}

}  // namespace

Napi::Function EngineWrap::Define(Napi::Env env) {
  return DefineClass(env, "NativeEngine",
                     {
                         InstanceAccessor<&EngineWrap::Info>("info"),
                         InstanceMethod<&EngineWrap::Tokenize>("tokenize"),
                         InstanceMethod<&EngineWrap::TokenizeAsync>("tokenizeAsync"),
                         InstanceMethod<&EngineWrap::Detokenize>("detokenize"),
                         InstanceMethod<&EngineWrap::TokenText>("tokenText"),
                         InstanceMethod<&EngineWrap::Submit>("submit"),
                         InstanceMethod<&EngineWrap::Abort>("abort"),
                         InstanceMethod<&EngineWrap::Pause>("pause"),
                         InstanceMethod<&EngineWrap::Resume>("resume"),
                         InstanceMethod<&EngineWrap::Stats>("stats"),
                         InstanceAccessor<&EngineWrap::CellBytes>("cellBytes"),
                         InstanceMethod<&EngineWrap::CachedPrefix>("cachedPrefix"),
                         InstanceMethod<&EngineWrap::ReadCells>("readCells"),
                         InstanceMethod<&EngineWrap::WriteCells>("writeCells"),
                         InstanceMethod<&EngineWrap::Close>("close"),
                         InstanceMethod<&EngineWrap::Free>("free"),
                         InstanceAccessor<&EngineWrap::MaxPromptBytes>("maxPromptBytes"),
                     });
}

Napi::Object EngineWrap::Create(Napi::Env env, EngineParts parts) {
  auto external = Napi::External<EngineParts>::New(env, &parts);
  return env.GetInstanceData<AddonData>()->engine_class.New({external});
}

EngineWrap::EngineWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineWrap>(info), env_(info.Env()) {
  if (info.Length() < 1 || !info[0].IsExternal()) throw BadArgument(info.Env(), "NativeEngine is made by loadModel().");
  parts_ = *info[0].As<Napi::External<EngineParts>>().Data();
  model_ = parts_.engine->shared_model();
  napi_add_env_cleanup_hook(env_, OnEnvironmentEnd, this);
  hooked_ = true;
  info.Env().GetInstanceData<AddonData>()->to_stop.insert(this);
}

// The collector only gets here with no request in flight (pending ones hold the wrapper), so joining is quick.
EngineWrap::~EngineWrap() {
  Forget();
  if (!parts_.engine) return;
  parts_.engine->Close();
  if (!closing_) parts_.channel->Release();
}

void EngineWrap::OnEnvironmentEnd(void* data) {
  auto* self = static_cast<EngineWrap*>(data);
  self->hooked_ = false;
  self->closing_ = true;  // no JavaScript can run any more: the channel goes with its thread-safe function
  self->parts_.engine->Close();
}

void EngineWrap::StopForExit() {
  closing_ = true;
  parts_.engine->CloseSilently();
}

void EngineWrap::Forget() {
  if (!hooked_) return;
  hooked_ = false;
  napi_remove_env_cleanup_hook(env_, OnEnvironmentEnd, this);
  Napi::Env(env_).GetInstanceData<AddonData>()->to_stop.erase(this);
}

Engine& EngineWrap::OpenEngine(Napi::Env env) { return *SharedEngine(env); }

const std::shared_ptr<Engine>& EngineWrap::SharedEngine(Napi::Env env) {
  if (closing_) throw ToJs(env, ClosedError());
  return parts_.engine;
}

const std::shared_ptr<Model>& EngineWrap::OpenModel(Napi::Env env) {
  if (!model_) throw ToJs(env, ClosedError());
  return model_;
}

Napi::Value EngineWrap::MaxPromptBytes(const Napi::CallbackInfo& info) {
  const double longest = static_cast<double>(OpenModel(info.Env())->longest_piece());
  return Napi::Number::New(info.Env(), longest * parts_.engine->n_ctx_seq());
}

Napi::Value EngineWrap::Info(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&] { return DescribeModel(info.Env(), OpenEngine(info.Env())); });
}

Napi::Value EngineWrap::Tokenize(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&] {
    return ToJs(info.Env(), OpenEngine(info.Env()).model().Tokenize(TextArgument(info), FlagArgument(info, 1)));
  });
}

Napi::Value EngineWrap::TokenizeAsync(const Napi::CallbackInfo& info) {
  OpenEngine(info.Env());
  auto model = OpenModel(info.Env());
  auto tokens = std::make_shared<std::vector<llama_token>>();
  PromiseTask task;
  task.work = [model, tokens, text = TextArgument(info), special = FlagArgument(info, 1)] {
    *tokens = model->Tokenize(text, special);
  };
  task.result = [tokens](Napi::Env env) { return ToJs(env, *tokens); };
  return RunTask(info.Env(), "phi2 tokenize", std::move(task));
}

Napi::Value EngineWrap::Detokenize(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&] {
    const Model& model = *OpenModel(info.Env());
    Utf8Assembler utf8;
    std::string text;
    for (llama_token token : ReadTokens(info[0], "tokens")) {
      if (!model.IsToken(token)) throw NoToken(info.Env(), std::to_string(token), model.n_vocab());
      text += utf8.Push(model.Piece(token));
    }
    text += utf8.Finish();
    return Napi::String::New(info.Env(), text);
  });
}

Napi::Value EngineWrap::TokenText(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&]() -> Napi::Value {
    const Model& model = *OpenModel(info.Env());
    const double id = info.Length() > 0 && info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : -1;
    const bool is_token = id >= 0 && id < model.n_vocab() && id == std::floor(id);
    if (!is_token) {
      throw NoToken(info.Env(), info.Length() > 0 ? info[0].ToString().Utf8Value() : "nothing", model.n_vocab());
    }
    Utf8Assembler utf8;
    std::string text = utf8.Push(model.Piece(static_cast<llama_token>(id)));
    text += utf8.Finish();
    return Napi::String::New(info.Env(), text);
  });
}

Napi::Value EngineWrap::Submit(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&] {
    if (info.Length() < 1 || !info[0].IsObject()) throw BadArgument(info.Env(), "Expected an object for request.");
    const auto request = info[0].As<Napi::Object>();
    const std::vector<uint32_t> seeds = ReadSeeds(request);
    const uint32_t first = OpenEngine(info.Env()).Submit(ReadRequest(request), seeds);
    // After Submit: its events can only be delivered once this call has returned to the event loop.
    for (uint32_t i = 0; i < seeds.size(); ++i) parts_.channel->Hold(info.Env(), first + i);
    return Napi::Number::New(info.Env(), first);
  });
}

void EngineWrap::Abort(const Napi::CallbackInfo& info) { parts_.engine->Abort(IdArgument(info)); }

void EngineWrap::Pause(const Napi::CallbackInfo& info) {
  parts_.engine->Pause(IdArgument(info));
  parts_.channel->LetGo(info.Env(), IdArgument(info));
}

void EngineWrap::Resume(const Napi::CallbackInfo& info) {
  parts_.channel->Hold(info.Env(), IdArgument(info));
  parts_.engine->Resume(IdArgument(info));
}

Napi::Value EngineWrap::Stats(const Napi::CallbackInfo& info) {
  const EngineStats stats = parts_.engine->stats();
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("active", stats.active);
  object.Set("queued", stats.queued);
  object.Set("cachedSequences", stats.cached_sequences);
  object.Set("cachedTokens", stats.cached_tokens);
  object.Set("steps", static_cast<double>(stats.steps));
  object.Set("decodedTokens", static_cast<double>(stats.decoded_tokens));
  object.Set("preemptions", static_cast<double>(stats.preemptions));
  return object;
}

Napi::Value EngineWrap::CellBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(parts_.engine->kv_shape().cell_bytes()));
}

Napi::Value EngineWrap::CachedPrefix(const Napi::CallbackInfo& info) {
  return phi2::CachedPrefix(info, SharedEngine(info.Env()));
}

Napi::Value EngineWrap::ReadCells(const Napi::CallbackInfo& info) {
  return phi2::ReadCells(info, SharedEngine(info.Env()));
}

Napi::Value EngineWrap::WriteCells(const Napi::CallbackInfo& info) {
  return phi2::WriteCells(info, SharedEngine(info.Env()));
}

Napi::Value EngineWrap::Close(const Napi::CallbackInfo& info) {
  const bool first = !closing_;
  closing_ = true;
  PromiseTask task;
  // Engine::Close waits for a Close that is under way, so a second call settles with the first.
  task.work = [engine = parts_.engine] { engine->Close(); };
  task.result = [channel = parts_.channel, first](Napi::Env env) {
    if (first) channel->Close(env);
    return env.Undefined();
  };
  return RunOrWait(info.Env(), "phi2 close", task);
}

Napi::Value EngineWrap::Free(const Napi::CallbackInfo& info) {
  closing_ = true;
  PromiseTask task;
  // One holder however often the task is copied: the last reference must go on the task's thread.
  auto model = std::make_shared<std::shared_ptr<Model>>(std::move(model_));
  task.work = [engine = parts_.engine, model] {
    engine->ReleaseModel();
    model->reset();
  };
  task.result = [](Napi::Env env) { return env.Undefined(); };
  return RunOrWait(info.Env(), "phi2 free", task);
}

}  // namespace phi2
