#include "core/context.h"

#include <algorithm>
#include <string>

#include "core/backend.h"
#include "core/error.h"
#include "core/log.h"

namespace phi2 {
namespace {

// The system would promise the memory and end the process when it is touched.
void RefuseTooLargeCache(const Model& model, const EngineOptions& options) {
  const llama_model* shaped = model.get();
  const double row = static_cast<double>(ggml_row_size(options.type_kv, llama_model_n_embd(shaped)));
  // Of the layers that a GPU has, the cache is there too; the output layer, which has none, is the first to go.
  const int32_t n_layer = std::min(llama_model_n_layer(shaped), llama_model_n_layer(shaped) + 1 - model.n_gpu_layers());
  const double bytes = 2.0 * options.n_ctx * n_layer * row;
  size_t free = 0;
  size_t total = 0;
  ggml_backend_dev_memory(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU), &free, &total);
  if (total == 0 || bytes < static_cast<double>(total)) return;
  throw Error("PHI2_CONTEXT_FAILED", "A KV cache of " + std::to_string(options.n_ctx) + " cells takes " +
                                         std::to_string(static_cast<int64_t>(bytes / 1e6)) +
                                         " MB, but this machine has " + std::to_string(total / 1000000) +
                                         " MB of memory. Use a smaller contextSize.");
}

/// The engine ends the process over a cache that its device cannot work with: tensors larger than it takes in one
/// piece, or of a type that it cannot fill.
void RefuseUnusableCache(const Model& model, const EngineOptions& options) {
  const ggml_init_params params = {8 * ggml_tensor_overhead(), nullptr, true};
  const std::unique_ptr<ggml_context, decltype(&ggml_free)> tensors(ggml_init(params), ggml_free);
  const int64_t n_embd = llama_model_n_embd(model.get());
  ggml_tensor* cache = ggml_new_tensor_2d(tensors.get(), options.type_kv, n_embd, options.n_ctx);
  ggml_tensor* row = ggml_new_tensor_2d(tensors.get(), GGML_TYPE_F32, n_embd, 1);
  ggml_tensor* where = ggml_new_tensor_1d(tensors.get(), GGML_TYPE_I64, 1);
  const ggml_tensor* fill = ggml_set_rows(tensors.get(), cache, row, where);
  for (ggml_backend_dev_t gpu : model.gpus()) {
    if (ggml_backend_dev_supports_op(gpu, cache) && ggml_backend_dev_supports_op(gpu, fill)) continue;
    throw Error("PHI2_CONTEXT_FAILED", std::string(ggml_backend_dev_name(gpu)) + " cannot work with a KV cache of " +
                                           std::to_string(options.n_ctx) + " cells of " +
                                           ggml_type_name(options.type_kv) + ": it is " +
                                           std::to_string(ggml_nbytes(cache) / 1000000) +
                                           " MB a layer. Use a smaller contextSize, kvType f16, or device cpu.");
  }
}

}  // namespace

EngineOptions ForEngine(EngineOptions options) {
  ++options.n_seq_max;
  return options;
}

EngineOptions ForDrafts(EngineOptions options) {
  options.n_outputs = options.n_seq_max;
  return options;
}

void Context::ThreadpoolDeleter::operator()(ggml_threadpool* pool) const {
  reinterpret_cast<void (*)(ggml_threadpool*)>(CpuBackendFunction("ggml_threadpool_free"))(pool);
}

Context::Context(const Model& model, const EngineOptions& options, ggml_abort_callback should_abort, void* data,
                 ggml_backend_sched_eval_callback on_tensor, void* on_tensor_data, const Context* neighbor)
    : n_outputs_(std::max(options.n_outputs, options.n_seq_max)) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = options.n_ctx;
  params.n_batch = options.n_batch;
  params.n_ubatch = options.n_ubatch;
  params.n_seq_max = options.n_seq_max;
  params.n_outputs_max = n_outputs_;
  params.n_threads = options.n_threads;
  params.n_threads_batch = options.n_threads;
  params.flash_attn_type = options.flash_attn;
  params.type_k = options.type_kv;
  params.type_v = options.type_kv;
  params.kv_unified = options.kv_unified;
  params.no_perf = true;
  params.abort_callback = should_abort;
  params.abort_callback_data = data;
  params.cb_eval = on_tensor;
  params.cb_eval_user_data = on_tensor_data;

  if (!model.no_alloc()) RefuseTooLargeCache(model, options);
  RefuseUnusableCache(model, options);
  LogCapture log;
  context_.reset(llama_init_from_model(model.get(), params));
  if (!context_) {
    throw Error("PHI2_CONTEXT_FAILED", "The engine could not create a context of " + std::to_string(options.n_ctx) +
                                           " cells: " + log.Summary() + " Try a smaller contextSize.");
  }
  ggml_threadpool* threads = neighbor == nullptr ? nullptr : neighbor->threadpool_.get();
  if (options.n_threads > 1 && neighbor == nullptr) {
    ggml_threadpool_params pool = ggml_threadpool_params_default(options.n_threads);
    using NewPool = ggml_threadpool* (*)(ggml_threadpool_params*);
    threadpool_.reset(reinterpret_cast<NewPool>(CpuBackendFunction("ggml_threadpool_new"))(&pool));
    threads = threadpool_.get();
  }
  if (threads != nullptr) llama_attach_threadpool(context_.get(), threads, threads);
}

Context::~Context() { llama_detach_threadpool(context_.get()); }

}  // namespace phi2
