#include "addon/evaluation_wrap.h"

#include <atomic>
#include <memory>
#include <optional>

#include "addon/arrays.h"
#include "addon/errors.h"
#include "addon/options.h"
#include "addon/progress_channel.h"
#include "addon/promise_task.h"

namespace phi2 {
namespace {

/// What the working thread and the JS thread share.
template <typename Options, typename Result>
struct Evaluation {
  Options options;
  std::atomic<bool> cancelled{false};
  std::shared_ptr<ProgressChannel> progress;
  std::optional<Result> result;

  void Prepare() {
    ReadingOptions& reading = options.reading;
    reading.cancelled = &cancelled;
    reading.model.cancelled = &cancelled;
    if (progress) {
      reading.on_progress = [this](float fraction, float perplexity) { progress->Report(fraction, perplexity); };
    }
  }
};

template <typename Options, typename Result>
Napi::Value Start(const Napi::CallbackInfo& info, const char* name, Options (*read)(const Napi::Object&),
                  Result (*compute)(const Options&), Napi::Value (*to_js)(Napi::Env, const Result&)) {
  Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    if (info.Length() < 1 || !info[0].IsObject()) throw BadArgument(env, "Expected an object for options.");
    const auto from = info[0].As<Napi::Object>();
    auto shared = std::make_shared<Evaluation<Options, Result>>();
    shared->options = read(from);
    shared->progress = ProgressChannel::FromOptions(from);
    shared->Prepare();

    PromiseTask task;
    task.work = [shared, compute] { shared->result = compute(shared->options); };
    task.cancel = [shared] { shared->cancelled = true; };
    task.result = [shared, to_js](Napi::Env e) { return to_js(e, *shared->result); };
    task.settled = [shared](Napi::Env, bool) {
      if (shared->progress) shared->progress->Close();
    };
    return RunCancellableTask(env, name, std::move(task));
  });
}

Napi::Array TextsToJs(Napi::Env env, const std::vector<std::string>& texts) {
  Napi::Array array = Napi::Array::New(env);
  for (const std::string& text : texts) array.Set(array.Length(), text);
  return array;
}

Napi::Float64Array DoublesToJs(Napi::Env env, const std::vector<double>& values) {
  return CopyToArray<Napi::Float64Array>(env, values);
}

Napi::Value PerplexityToJs(Napi::Env env, const PerplexityResult& result) {
  const TokenScores& scores = result.scores;
  Napi::Object object = Napi::Object::New(env);
  object.Set("chunks", result.n_chunks);
  object.Set("trainedContextSize", result.n_ctx_train);
  object.Set("warnings", TextsToJs(env, result.warnings));
  object.Set("nll", DoublesToJs(env, scores.nll));
  object.Set("nllBase", DoublesToJs(env, scores.nll_base));
  object.Set("kld", DoublesToJs(env, scores.kld));
  object.Set("pDiff", DoublesToJs(env, scores.p_diff));
  object.Set("sameTop", CopyToArray<Napi::Uint8Array>(env, scores.same_top));
  return object;
}

Napi::Value ImportanceToJs(Napi::Env env, const Importance& result) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("chunks", result.n_chunks);
  object.Set("trainedContextSize", result.n_ctx_train);
  object.Set("warnings", TextsToJs(env, result.warnings));
  object.Set("perplexity", result.perplexity);
  Napi::Array tensors = Napi::Array::New(env);
  for (const TensorImportance& tensor : result.tensors) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", tensor.name);
    entry.Set("sums", ToJs(env, tensor.sums));
    entry.Set("count", static_cast<double>(tensor.count));
    tensors.Set(tensors.Length(), entry);
  }
  object.Set("tensors", tensors);
  return object;
}

}  // namespace

Napi::Value MeasurePerplexity(const Napi::CallbackInfo& info) {
  return Start(info, "phi2 perplexity", ReadPerplexityOptions, Perplexity, PerplexityToJs);
}

Napi::Value MeasureImportance(const Napi::CallbackInfo& info) {
  return Start(info, "phi2 imatrix", ReadImportanceOptions, ComputeImportance, ImportanceToJs);
}

}  // namespace phi2
