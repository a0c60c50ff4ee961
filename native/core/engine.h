#pragma once

#include <atomic>
#include <chrono>
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
#include "core/scheduler.h"
#include "core/sequence.h"
#include "core/speculator.h"
#include "core/step_cost.h"

namespace phi2 {

/// Where chunks and endings go. Called on the engine thread; must not block and not throw.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void OnChunk(uint32_t id, Chunk chunk) = 0;
  /// Exactly once per submitted request, after its last chunk.
  virtual void OnEnd(uint32_t id, Ending ending) = 0;
  /// What a step that was decoded held; before its chunks and endings.
  virtual void OnStep(const std::vector<BatchBuilder::Part>& parts) { static_cast<void>(parts); }
};

/// A smaller model of the same vocabulary that guesses for the large one.
struct DraftOptions {
  std::shared_ptr<const Model> model;  ///< null: none
  int32_t n_threads = 1;
};

struct EngineStats {
  uint32_t active = 0;
  uint32_t queued = 0;
  uint32_t cached_sequences = 0;
  uint32_t cached_tokens = 0;  ///< cells in use; one that several sequences share counts once
  uint64_t steps = 0;
  uint64_t decoded_tokens = 0;
  uint64_t preemptions = 0;
};

/// A llama context and the one thread that uses it. Requests are submitted from any thread and run together in batches:
/// commands are taken, sequences get their places (Scheduler), one batch is built of a token of every generating
/// sequence and a share of prompt for the others (PlanStep), decoded, and each sequence's token sampled.
///
/// Owns the context and shares the models. Close() (also the destructor) ends what runs with EndReason::kAbort, joins
/// the thread and frees the context; every other method may be called from any thread, also after Close().
class Engine {
 public:
  /// Creates the contexts: takes a while, for worker threads. Throws PHI2_CONTEXT_FAILED with the engine's own reason,
  /// PHI2_VOCABULARY_MISMATCH for the draft model. `sink` must outlive the engine.
  Engine(std::shared_ptr<Model> model, const EngineOptions& options, EventSink* sink, const DraftOptions& draft = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// One answer for each seed, all from one reading of the prompt. Returns the id of the first; those of the others
  /// follow. Throws PHI2_CLOSED, PHI2_CONTEXT_FULL (prompt longer than a sequence may be), PHI2_INVALID_OPTION (unknown
  /// token ids, empty prompt), PHI2_BUSY (more requests wait than may). The last may also come as the ending.
  uint32_t Submit(RequestSpec spec, const std::vector<uint32_t>& seeds);
  /// One answer, with the seed in its spec.
  uint32_t Submit(RequestSpec spec);

  /// Settles at the end of the step, or inside it when all that it holds is aborted or it only reads prompts (CPU).
  /// Unknown ids are ignored.
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
  /// Of the draft model.
  const std::vector<std::string>& draft_warnings() const { return draft_warnings_; }
  uint32_t n_ctx() const { return n_ctx_; }
  uint32_t n_batch() const { return n_batch_; }
  uint32_t n_seq_max() const { return n_seq_max_; }
  /// Positions that one sequence may hold: what the model was trained on, or the whole cache if that is smaller.
  uint32_t n_ctx_seq() const { return n_ctx_seq_; }

 private:
  using Clock = std::chrono::steady_clock;
  using Milliseconds = std::chrono::duration<double, std::milli>;
  /// Runs on the engine thread between two steps; `open` is false when the engine is closing.
  using Command = std::function<void(bool open)>;

  std::shared_ptr<Model> OpenModel() const;
  void CheckSpec(const RequestSpec& spec, const Model& model) const;
  bool Send(Command command, bool urgent = true);

  // --- engine thread ---
  void Run();
  bool TakeCommands();
  void PutCells(Sequence& sequence);
  void Draft();
  void Watch(const std::vector<Sequence*>& sequences);
  void Step();
  void OnDecoded();
  void OnCut();
  void OnDecodeError(int32_t status);
  void TakeLogits(const BatchBuilder::Part& part);
  void Deliver(Sequence& sequence);
  void Settle();
  bool AllAborted() const;
  static bool ShouldAbortStep(void* self);

  std::shared_ptr<Model> model_;
  EventSink* sink_;
  uint32_t n_ctx_ = 0;
  uint32_t n_batch_ = 0;
  uint32_t n_seq_max_ = 0;
  uint32_t n_ctx_seq_ = 0;
  bool has_draft_model_ = false;
  std::vector<std::string> draft_warnings_;
  KvShape kv_shape_;
  uint32_t n_queue_max_;

  std::unique_ptr<Context> context_;

  std::atomic<uint32_t> next_id_{1};

  mutable std::mutex mutex_;  // guards the next five, and model_
  std::condition_variable wake_;
  std::vector<Command> commands_;
  size_t n_arriving_ = 0;                                               // requests among them
  std::map<uint32_t, std::shared_ptr<std::atomic<bool>>> abort_flags_;  // of answers that have not ended
  bool closing_ = false;
  std::mutex close_mutex_;  // one Close() at a time; held while joining

  // engine thread only
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<BatchBuilder> builder_;
  std::unique_ptr<Speculator> speculator_;
  StepCost cost_;

  // read by ShouldAbortStep, which the thread that called llama_decode calls between two nodes of the graph
  std::vector<std::shared_ptr<std::atomic<bool>>> step_flags_;
  Clock::time_point cut_until_;          // later it is not worth it
  std::atomic<bool> wants_turn_{false};  // a command came that should not wait for a long step
  std::atomic<bool> stop_now_{false};
  std::atomic<bool> silent_{false};  // the sink hears nothing more

  std::atomic<uint32_t> n_active_{0};
  std::atomic<uint32_t> n_queued_{0};
  std::atomic<size_t> n_waiting_{0};
  std::atomic<uint32_t> n_cached_sequences_{0};
  std::atomic<uint32_t> n_cached_tokens_{0};
  std::atomic<uint64_t> n_steps_{0};
  std::atomic<uint64_t> n_decoded_{0};
  std::atomic<uint64_t> n_preempted_{0};

  std::thread thread_;  // last: starts when everything else is ready
};

}  // namespace phi2
