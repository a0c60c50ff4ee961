#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/batch_builder.h"
#include "core/context.h"
#include "core/kv_cache.h"
#include "core/model.h"
#include "core/request_queue.h"
#include "core/sequence.h"
#include "core/step_cost.h"

namespace phi2 {

/// Where chunks and endings go. Called on the engine thread; must not block and not throw.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void OnChunk(uint32_t id, Chunk chunk) = 0;
  /// Exactly once per submitted request, after its last chunk.
  virtual void OnEnd(uint32_t id, Ending ending) = 0;
};

struct EngineStats {
  uint32_t active = 0;
  uint32_t queued = 0;
  uint32_t cached_sequences = 0;
  uint32_t cached_tokens = 0;  ///< cells in use; one that several sequences share counts once
  uint64_t steps = 0;
  uint64_t decoded_tokens = 0;
};

/// A llama context and the one thread that uses it. Requests are submitted from any thread and run together in batches:
/// commands are taken, sequences admitted as far as KV cells reach, one batch built with a token of every generating
/// sequence and a fair share of prompt for the others, decoded, and each sequence's token sampled.
///
/// Owns the context and shares the model. Close() (also the destructor) ends what runs with EndReason::kAbort, joins
/// the thread and frees the context; every other method may be called from any thread, also after Close().
class Engine {
 public:
  /// Creates the context: takes a while, for worker threads. Throws PHI2_CONTEXT_FAILED with the engine's own reason.
  /// `sink` must outlive the engine.
  Engine(std::shared_ptr<Model> model, const EngineOptions& options, EventSink* sink);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Returns the id of the request. Throws PHI2_CLOSED, PHI2_CONTEXT_FULL (prompt longer than a sequence may be),
  /// PHI2_INVALID_OPTION (unknown token ids, empty prompt).
  uint32_t Submit(RequestSpec spec);

  /// Settles within one step, or inside a step when nothing else shares the batch (CPU). Unknown ids are ignored.
  void Abort(uint32_t id);
  void Pause(uint32_t id);
  void Resume(uint32_t id);

  /// Runs on the engine thread between two steps, where context and cache may be used. What it throws comes out of the
  /// future; PHI2_CLOSED does if the engine closes before, or has closed. Wait on worker threads only.
  std::future<void> Post(std::function<void()> work);

  /// Cells of tokens, in and out of the cache, without a step. The three block until the engine thread has had its
  /// turn: worker threads only. They throw PHI2_CLOSED. Cells are in their plain form, see kv_cells.h.
  const KvShape& kv_shape() const { return kv_shape_; }
  /// How many of these tokens are cached.
  size_t CachedPrefix(const std::vector<llama_token>& tokens);
  /// Copies n cells out, from position `first` on; false if these tokens are not cached.
  bool ReadCells(const std::vector<llama_token>& tokens, size_t first, size_t n, uint8_t* plain);
  /// Starts a request that puts the cells of all tokens from position `first` on into the cache, where they stay like
  /// those of any request that has ended. It waits in the queue like any other and can be aborted by its id. The future
  /// says false if the tokens before `first` are not cached; it throws PHI2_ABORTED. PHI2_INVALID_STATE for numbers
  /// that no model computes; else what Submit() throws.
  uint32_t WriteCells(std::vector<llama_token> tokens, size_t first, const uint8_t* plain, std::future<bool>& done);

  void Close();

  /// Close() for a process that is about to end: the sink hears nothing more.
  void CloseSilently();

  EngineStats stats() const;
  /// After Close(): frees the weights, if nobody else shares them. For worker threads.
  void ReleaseModel();

  /// Not after ReleaseModel().
  const Model& model() const { return *model_; }
  const std::shared_ptr<Model>& shared_model() const { return model_; }
  uint32_t n_ctx() const { return n_ctx_; }
  uint32_t n_batch() const { return n_batch_; }
  uint32_t n_seq_max() const { return n_seq_max_; }
  /// Positions that one sequence may hold: what the model was trained on, or the whole cache if that is smaller.
  uint32_t n_ctx_seq() const { return n_ctx_seq_; }

 private:
  /// Runs on the engine thread between two steps; `open` is false when the engine is closing.
  using Command = std::function<void(bool open)>;

  std::shared_ptr<Model> OpenModel() const;
  bool Send(Command command);

  // --- engine thread ---
  void Run();
  bool TakeCommands();
  void AbortNow(uint32_t id);
  void SetPaused(uint32_t id, bool paused);
  Sequence* Find(uint32_t id) const;
  void Admit();
  void PutCells(Sequence& sequence);
  void Step();
  void OnDecoded();
  void OnAborted();
  void OnDecodeError(int32_t status);
  void TakeLogits(const BatchBuilder::Part& part);
  void Deliver(Sequence& sequence);
  void Settle();
  static bool ShouldAbortStep(void* self);

  std::shared_ptr<Model> model_;
  EventSink* sink_;
  uint32_t n_ctx_ = 0;
  uint32_t n_batch_ = 0;
  uint32_t n_seq_max_ = 0;
  uint32_t n_ctx_seq_ = 0;
  KvShape kv_shape_;

  std::unique_ptr<Context> context_;

  std::atomic<uint32_t> next_id_{1};

  mutable std::mutex mutex_;  // guards the next four, and model_
  std::condition_variable wake_;
  std::vector<Command> commands_;
  std::map<uint32_t, std::shared_ptr<std::atomic<bool>>> abort_flags_;  // of requests that have not ended
  bool closing_ = false;
  std::mutex close_mutex_;  // one Close() at a time; held while joining

  // engine thread only
  RequestQueue queued_;
  std::vector<std::shared_ptr<Sequence>> active_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<BatchBuilder> builder_;
  StepCost cost_;
  bool room_changed_ = false;

  // read by ShouldAbortStep inside llama_decode, on a compute thread
  std::vector<std::shared_ptr<std::atomic<bool>>> step_flags_;
  std::atomic<bool> stop_now_{false};
  std::atomic<bool> silent_{false};  // the sink hears nothing more

  std::atomic<uint32_t> n_active_{0};
  std::atomic<uint32_t> n_queued_{0};
  std::atomic<uint32_t> n_cached_sequences_{0};
  std::atomic<uint32_t> n_cached_tokens_{0};
  std::atomic<uint64_t> n_steps_{0};
  std::atomic<uint64_t> n_decoded_{0};

  std::thread thread_;  // last: starts when everything else is ready
};

}  // namespace phi2
