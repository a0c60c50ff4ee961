#include "addon/cells_wrap.h"

#include <cmath>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "addon/errors.h"
#include "addon/options.h"
#include "addon/promise_task.h"

namespace phi2 {
namespace {

/// The arguments `(tokens, first, bytes)`. The bytes are used where they are: megabytes, which JavaScript must leave
/// alone until the promise has settled. JS thread, but for `data`.
struct Stretch {
  std::vector<llama_token> tokens;
  size_t first = 0;
  size_t n = 0;
  uint8_t* data = nullptr;
  Napi::Reference<Napi::Uint8Array> bytes;
};

std::shared_ptr<Stretch> ReadStretch(const Napi::CallbackInfo& info, size_t cell_bytes) {
  const auto stretch = std::make_shared<Stretch>();
  stretch->tokens = ReadTokens(info[0], "tokens");
  const double first = info[1].IsNumber() ? info[1].As<Napi::Number>().DoubleValue() : -1;
  if (!info[2].IsTypedArray() || info[2].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw BadArgument(info.Env(), "Expected a Uint8Array for bytes.");
  }
  auto bytes = info[2].As<Napi::Uint8Array>();
  stretch->n = bytes.ByteLength() / cell_bytes;
  const auto n_tokens = static_cast<double>(stretch->tokens.size());
  if (bytes.ByteLength() == 0 || bytes.ByteLength() % cell_bytes != 0 || first != std::floor(first) || first < 0 ||
      first + static_cast<double>(stretch->n) > n_tokens) {
    throw BadArgument(info.Env(), "Expected bytes of whole cells, for some of the tokens.");
  }
  stretch->first = static_cast<size_t>(first);
  stretch->data = bytes.Data();
  stretch->bytes = Napi::Reference<Napi::Uint8Array>::New(bytes, 1);
  return stretch;
}

/// A request that can be aborted before it has an id, too. Any thread.
class Abortable {
 public:
  explicit Abortable(std::shared_ptr<Engine> engine) : engine_(std::move(engine)) {}

  void Started(uint32_t id) {
    const std::lock_guard<std::mutex> lock(mutex_);
    id_ = id;
    if (aborted_) engine_->Abort(id_);
  }

  void Abort() {
    const std::lock_guard<std::mutex> lock(mutex_);
    aborted_ = true;
    if (id_ != 0) engine_->Abort(id_);
  }

 private:
  std::shared_ptr<Engine> engine_;
  std::mutex mutex_;
  uint32_t id_ = 0;  // the first one is 1
  bool aborted_ = false;
};

/// The end of an environment or of the process is the end of its engines, too: whoever waits for the engine thread need
/// not wait for its step.
std::function<void()> CloseAtEnd(const std::shared_ptr<Engine>& engine) {
  return [engine] { engine->CloseSilently(); };
}

std::function<Napi::Value(Napi::Env)> ToBoolean(const std::shared_ptr<bool>& value) {
  return [value](Napi::Env env) { return Napi::Boolean::New(env, *value); };
}

}  // namespace

Napi::Value CachedPrefix(const Napi::CallbackInfo& info, std::shared_ptr<Engine> engine) {
  const auto n = std::make_shared<size_t>(0);
  PromiseTask task;
  task.cancel = CloseAtEnd(engine);
  task.work = [engine = std::move(engine), tokens = ReadTokens(info[0], "tokens"), n] {
    *n = engine->CachedPrefix(tokens);
  };
  task.result = [n](Napi::Env env) { return Napi::Number::New(env, static_cast<double>(*n)); };
  return RunTask(info.Env(), "phi2 cached prefix", std::move(task));
}

Napi::Value ReadCells(const Napi::CallbackInfo& info, std::shared_ptr<Engine> engine) {
  const auto stretch = ReadStretch(info, engine->kv_shape().cell_bytes());
  const auto found = std::make_shared<bool>(false);
  PromiseTask task;
  task.cancel = CloseAtEnd(engine);
  task.work = [engine = std::move(engine), stretch, found] {
    *found = engine->ReadCells(stretch->tokens, stretch->first, stretch->n, stretch->data);
  };
  task.result = ToBoolean(found);
  return RunTask(info.Env(), "phi2 read cells", std::move(task));
}

Napi::Value WriteCells(const Napi::CallbackInfo& info, std::shared_ptr<Engine> engine) {
  const auto stretch = ReadStretch(info, engine->kv_shape().cell_bytes());
  stretch->tokens.resize(stretch->first + stretch->n);
  const auto written = std::make_shared<bool>(false);
  const auto request = std::make_shared<Abortable>(engine);
  PromiseTask task;
  task.cancel = CloseAtEnd(engine);
  task.work = [engine = std::move(engine), stretch, written, request] {
    *written = engine->WriteCells(stretch->tokens, stretch->first, stretch->data,
                                  [request](uint32_t id) { request->Started(id); });
  };
  task.result = ToBoolean(written);
  return RunCancellableTask(info.Env(), "phi2 write cells", std::move(task), [request] { request->Abort(); });
}

}  // namespace phi2
