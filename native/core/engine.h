#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/batch_builder.h"
#include "core/context.h"
#include "core/device_memory.h"
#include "core/kv_cache.h"
#include "core/model.h"
#include "core/scheduler.h"
#include "core/sequence.h"
#include "core/speculator.h"
#include "core/step_cost.h"
#include "core/step_watch.h"

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

  // The next four block until the engine thread has had its turn: for worker threads. They throw PHI2_CLOSED if the
  // engine has closed, or closes before.

  /// Runs this on the engine thread between two steps, where context and cache may be used, and throws what it throws.
  void RunBetweenSteps(const std::function<void()>& work);

  // Cells of tokens, in and out of the cache, without a step. Cells are in their plain form, see kv_cells.h.
  const KvShape& kv_shape() const { return kv_shape_; }
  /// How many of these tokens are cached.
  size_t CachedPrefix(const std::vector<llama_token>& tokens);
  /// Copies n cells out, from position `first` on; false if these tokens are not cached.
  bool ReadCells(const std::vector<llama_token>& tokens, size_t first, size_t n, uint8_t* plain);
  /// Puts the cells of all tokens from position `first` on into the cache, where they stay like those of any request
  /// that has ended; false if the tokens before `first` are not cached. It waits in the queue like any request:
  /// `on_start` is given its id, and PHI2_ABORTED thrown when it was aborted. PHI2_INVALID_STATE for numbers that no
  /// model computes; else what Submit() throws.
  bool WriteCells(std::vector<llama_token> tokens, size_t first, const uint8_t* plain,
                  const std::function<void(uint32_t id)>& on_start);

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
  /// What lies where, that of the draft model included.
  const std::vector<DeviceShare>& shares() const { return shares_; }
  uint32_t n_ctx() const { return n_ctx_; }
  uint32_t n_batch() const { return n_batch_; }
  uint32_t n_seq_max() const { return n_seq_max_; }
  /// Positions that one sequence may hold: what the model was trained on, or the whole cache if that is smaller.
  uint32_t n_ctx_seq() const { return n_ctx_seq_; }

 private:
  using Clock = StepWatch::Clock;
  using Milliseconds = std::chrono::duration<double, std::milli>;
  /// Runs on the engine thread between two steps; `open` is false when the engine is closing.
  using Command = std::function<void(bool open)>;

  std::shared_ptr<Model> OpenModel() const;
  bool Send(Command command, bool urgent = true);

  // --- engine thread ---
  void Run();
  bool TakeCommands();
  void PutCells(Sequence& sequence);
  void Draft();
  void Step();
  Clock::time_point CutUntil(Clock::time_point start) const;
  void OnDecoded();
  void OnCut();
  void OnDecodeError(int32_t status);
  void TakeLogits(const BatchBuilder::Part& part);
  void Deliver(Sequence& sequence);
  void Settle();

  std::shared_ptr<Model> model_;
  EventSink* sink_;
  uint32_t n_ctx_ = 0;
  uint32_t n_batch_ = 0;
  uint32_t n_seq_max_ = 0;
  uint32_t n_ctx_seq_ = 0;
  bool has_draft_model_ = false;
  std::vector<std::string> draft_warnings_;
  std::vector<DeviceShare> shares_;
  KvShape kv_shape_;
  uint32_t n_queue_max_;

  StepWatch watch_;  // the context asks it
  std::unique_ptr<Context> context_;

  std::atomic<uint32_t> next_id_{1};

  mutable std::mutex mutex_;  // guards the next four, and model_
  std::condition_variable wake_;
  std::vector<Command> commands_;
  size_t n_arriving_ = 0;  // requests among them
  bool closing_ = false;
  std::mutex close_mutex_;  // one Close() at a time; held while joining

  // engine thread only
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<BatchBuilder> builder_;
  std::unique_ptr<Speculator> speculator_;
  StepCost cost_;

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
