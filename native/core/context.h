#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "core/model.h"

namespace phi2 {

struct EngineOptions {
  uint32_t n_ctx = 2048;  ///< KV cells, shared by all sequences
  uint32_t n_batch = 512;
  uint32_t n_ubatch = 0;  ///< tokens computed at once: a batch is cut into such parts; 0: n_batch
  uint32_t n_seq_max = 8;
  uint32_t n_queue_max = 1024;  ///< requests that may wait for a place
  int32_t n_threads = 2;
  llama_flash_attn_type flash_attn = LLAMA_FLASH_ATTN_TYPE_AUTO;
  ggml_type type_kv = GGML_TYPE_F16;
  /// Rows of logits that one step may give: bounds the output buffer (200 KiB a row).
  uint32_t n_outputs = 64;
  bool kv_unified = true;  ///< one cache for all sequences; otherwise each has its share of the cells
};

/// What the engine makes its context with: its cache keeps one sequence for itself.
EngineOptions ForEngine(EngineOptions options);
/// What a draft model makes its context with: of each sequence one row of logits at most.
EngineOptions ForDrafts(EngineOptions options);

/// A llama context with a thread pool of its own: without one the CPU backend starts and joins
/// threads for every step. Used by one thread at a time.
class Context {
 public:
  /// Takes a while: for worker threads. Throws PHI2_CONTEXT_FAILED with the engine's own reason, or because the cache
  /// is larger than the machine's memory. Of a model that is only measured, nothing is allocated.
  /// `on_tensor` sees every tensor that is computed. `neighbor`: a context that lives longer and computes only while
  /// this one does not; its threads are used, since those of two pools would wait for work on the same cores.
  Context(const Model& model, const EngineOptions& options, ggml_abort_callback should_abort, void* data,
          ggml_backend_sched_eval_callback on_tensor = nullptr, void* on_tensor_data = nullptr,
          const Context* neighbor = nullptr);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  llama_context* get() const { return context_.get(); }
  llama_memory_t memory() const { return llama_get_memory(context_.get()); }

  uint32_t n_ctx() const { return llama_n_ctx(context_.get()); }
  uint32_t n_batch() const { return llama_n_batch(context_.get()); }
  uint32_t n_seq_max() const { return llama_n_seq_max(context_.get()); }
  /// Rows of logits that one step may give.
  uint32_t n_outputs() const { return n_outputs_; }

 private:
  struct ThreadpoolDeleter {
    void operator()(ggml_threadpool* pool) const;
  };

  uint32_t n_outputs_;
  // Destroyed in reverse: the context lets go of the pool before the pool is freed.
  std::unique_ptr<ggml_threadpool, ThreadpoolDeleter> threadpool_;
  llama_context_ptr context_;
};

/// Owns what llama_batch_init() allocates.
class Batch {
 public:
  Batch() = default;
  explicit Batch(int32_t n_tokens) : batch_(llama_batch_init(n_tokens, 0, 1)) {}
  ~Batch() {
    if (batch_.token != nullptr) llama_batch_free(batch_);
  }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;
  Batch& operator=(Batch&& other) noexcept {
    std::swap(batch_, other.batch_);
    return *this;
  }
  llama_batch& operator*() { return batch_; }
  llama_batch* operator->() { return &batch_; }
  const llama_batch* operator->() const { return &batch_; }

 private:
  llama_batch batch_ = {};
};

}  // namespace phi2
