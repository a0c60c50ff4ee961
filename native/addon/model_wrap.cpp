#include "addon/model_wrap.h"

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include "addon/engine_wrap.h"
#include "addon/errors.h"
#include "addon/options.h"
#include "addon/progress_channel.h"
#include "addon/promise_task.h"
#include "core/backend.h"

namespace phi2 {
namespace {

float FileSize(const std::string& path, std::error_code& failure) {
  return static_cast<float>(std::filesystem::file_size(std::filesystem::u8path(path), failure));
}

/// What the loading thread and the JS thread share. Destroyed engine first: see EngineParts.
struct Loading {
  LoadRequest request;
  std::atomic<bool> cancelled{false};
  std::shared_ptr<ProgressChannel> progress;
  EngineParts parts;

  void Work() {
    request.model.cancelled = &cancelled;
    const float share = ShareOfModel();
    std::shared_ptr<Model> model = LoadPart(request.model, 0, share);
    DraftOptions draft;
    draft.n_threads = request.n_threads_draft;
    if (!request.path_draft.empty()) draft.model = LoadPart(request.draft(), share, 1);
    if (cancelled) throw Error("PHI2_ABORTED", "The load of " + request.model.path + " was aborted.");
    parts.engine = std::make_shared<Engine>(std::move(model), request.engine, parts.channel.get(), draft);
  }

  /// Of the progress.
  float ShareOfModel() const {
    if (request.path_draft.empty()) return 1;
    std::error_code unknown;  // a missing file is told of by who loads it
    const float model = FileSize(request.model.path, unknown);
    const float draft = FileSize(request.path_draft, unknown);
    return unknown ? 1 : model / (model + draft);
  }

  std::shared_ptr<Model> LoadPart(ModelOptions options, float from, float to) {
    if (progress) options.on_progress = [=](float fraction) { progress->Report(from + fraction * (to - from)); };
    return Model::Load(options);
  }

  void Fail(Napi::Env env) {
    if (parts.channel) parts.channel->Close(env);
  }
};

Napi::Array DescribeShares(Napi::Env env, const std::vector<DeviceShare>& shares) {
  Napi::Array list = Napi::Array::New(env, shares.size());
  uint32_t index = 0;
  for (const DeviceShare& share : shares) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", share.name);
    object.Set("layers", share.n_layers);
    object.Set("weights", static_cast<double>(share.weights));
    object.Set("kv", static_cast<double>(share.kv));
    object.Set("compute", static_cast<double>(share.compute));
    list.Set(index++, object);
  }
  return list;
}

}  // namespace

Napi::Value MeasureLoad(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    if (info.Length() < 1 || !info[0].IsObject()) throw BadArgument(env, "Expected an object for options.");
    struct Measuring {
      LoadRequest request;
      std::atomic<bool> cancelled{false};
      MemoryNeed need;
    };
    auto shared = std::make_shared<Measuring>();
    shared->request = ReadLoadOptions(info[0].As<Napi::Object>());
    shared->request.model.cancelled = &shared->cancelled;

    PromiseTask task;
    task.work = [shared] {
      const LoadRequest& request = shared->request;
      const ModelOptions draft = request.draft();
      shared->need = MeasureMemory(request.model, request.engine, request.path_draft.empty() ? nullptr : &draft);
    };
    task.cancel = [shared] { shared->cancelled = true; };
    task.result = [shared](Napi::Env e) -> Napi::Value {
      Napi::Object need = Napi::Object::New(e);
      need.Set("layers", shared->need.n_layers);
      need.Set("devices", DescribeShares(e, shared->need.devices));
      return need;
    };
    return RunCancellableTask(env, "phi2 plan", std::move(task));
  });
}

Napi::Value LoadModel(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    if (info.Length() < 1 || !info[0].IsObject()) throw BadArgument(env, "Expected an object for options.");
    const auto options = info[0].As<Napi::Object>();
    const Napi::Value on_chunk = options.Get("onChunk");
    const Napi::Value on_end = options.Get("onEnd");
    if (!on_chunk.IsFunction() || !on_end.IsFunction()) {
      throw BadArgument(env, "Expected functions for onChunk and onEnd.");
    }

    auto loading = std::make_shared<Loading>();
    loading->request = ReadLoadOptions(options);
    loading->parts.channel = EventChannel::Create(env, on_chunk.As<Napi::Function>(), on_end.As<Napi::Function>());
    loading->progress = ProgressChannel::FromOptions(options);

    PromiseTask task;
    task.work = [loading] { loading->Work(); };
    task.cancel = [loading] { loading->cancelled = true; };
    task.result = [loading](Napi::Env e) -> Napi::Value {
      Napi::Object engine = EngineWrap::Create(e, loading->parts);
      loading->parts = {};
      return engine;
    };
    task.settled = [loading](Napi::Env e, bool failed) {
      if (loading->progress) loading->progress->Close();
      if (failed) loading->Fail(e);
    };

    return RunCancellableTask(env, "phi2 load", std::move(task));
  });
}

Napi::Object DescribeModel(Napi::Env env, const Engine& engine) {
  const Model& model = engine.model();
  const llama_model* raw = model.get();
  Napi::Object info = Napi::Object::New(env);
  info.Set("name", model.name());
  info.Set("fileType", llama_ftype_name(llama_model_ftype(raw)));
  info.Set("parameters", static_cast<double>(llama_model_n_params(raw)));
  info.Set("size", static_cast<double>(llama_model_size(raw)));
  info.Set("vocabularySize", model.n_vocab());
  info.Set("usedVocabularySize", model.n_sampleable());
  info.Set("trainedContextSize", llama_model_n_ctx_train(raw));
  info.Set("embeddingSize", llama_model_n_embd(raw));
  info.Set("layers", llama_model_n_layer(raw));
  info.Set("heads", llama_model_n_head(raw));
  info.Set("contextSize", engine.n_ctx());
  info.Set("sequenceSize", engine.n_ctx_seq());
  info.Set("batchSize", engine.n_batch());
  info.Set("maxSequences", engine.n_seq_max());
  info.Set("gpuLayers", model.n_gpu_layers());
  info.Set("shares", DescribeShares(env, engine.shares()));
  Napi::Array warnings = Napi::Array::New(env);
  for (const std::string& warning : model.warnings()) warnings.Set(warnings.Length(), warning);
  for (const std::string& warning : engine.draft_warnings()) {
    warnings.Set(warnings.Length(), "The draft model: " + warning);
  }
  info.Set("warnings", warnings);
  return info;
}

}  // namespace phi2
