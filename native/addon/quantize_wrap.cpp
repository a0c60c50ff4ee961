#include "addon/quantize_wrap.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "addon/errors.h"
#include "addon/options.h"
#include "addon/progress_channel.h"
#include "addon/promise_task.h"
#include "core/quantize.h"

namespace phi2 {
namespace {

/// What the quantizing thread and the JS thread share.
struct Quantizing {
  QuantizeOptions options;
  Cancellation cancellation;
  std::shared_ptr<ProgressChannel> progress;
  QuantizeReport report;
};

Napi::Array ToJs(Napi::Env env, const std::vector<TensorChange>& changes) {
  Napi::Array list = Napi::Array::New(env, changes.size());
  uint32_t index = 0;
  for (const TensorChange& change : changes) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", change.name);
    object.Set("type", change.type);
    if (!change.wanted.empty()) object.Set("wanted", change.wanted);
    list.Set(index++, object);
  }
  return list;
}

}  // namespace

Napi::Value QuantizeFile(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    if (info.Length() < 1 || !info[0].IsObject()) throw BadArgument(env, "Expected an object for options.");
    const auto options = info[0].As<Napi::Object>();
    auto shared = std::make_shared<Quantizing>();
    shared->options = ReadQuantizeOptions(options);
    shared->options.cancellation = &shared->cancellation;
    shared->progress = ProgressChannel::FromOptions(options);
    if (shared->progress) {
      shared->options.on_progress = [channel = shared->progress](float fraction) { channel->Report(fraction); };
    }

    PromiseTask task;
    task.work = [shared] { shared->report = Quantize(shared->options); };
    task.cancel = [shared] { shared->cancellation.Cancel(); };
    task.leave_at_exit = [shared] { return shared->cancellation.Leave(); };  // a tensor may take half a minute
    task.result = [shared](Napi::Env e) -> Napi::Value {
      Napi::Object report = Napi::Object::New(e);
      report.Set("changes", ToJs(e, shared->report.changes));
      report.Set("fallbacks", ToJs(e, shared->report.fallbacks));
      return report;
    };
    task.settled = [shared](Napi::Env, bool) {
      if (shared->progress) shared->progress->Close();
    };

    return RunCancellableTask(env, "phi2 quantize", std::move(task));
  });
}

Napi::Value FileTypeName(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsNumber()) throw BadArgument(info.Env(), "Expected a number for the file type.");
  const auto ftype = static_cast<llama_ftype>(info[0].As<Napi::Number>().Int32Value() & 1023);
  return Napi::String::New(info.Env(), llama_ftype_name(ftype));
}

}  // namespace phi2
