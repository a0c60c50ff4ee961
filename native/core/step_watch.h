#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace phi2 {

/// When what the engine computes should stop before its end: all whom it serves are aborted, or something urgent came
/// and it is a long step, or the engine closes. Any thread says so; the engine asks between two nodes of its graph, on
/// the thread that called it.
class StepWatch {
 public:
  using Clock = std::chrono::steady_clock;

  // --- any thread ---

  /// An answer begins, and has ended.
  void Add(uint32_t id);
  void Remove(uint32_t id);
  /// False if there is no such answer.
  bool Abort(uint32_t id);
  /// Something came that should not wait for a long step.
  void WantTurn() { wants_turn_ = true; }
  void StopNow() { stop_now_ = true; }
  bool stop_now() const { return stop_now_; }

  // --- engine thread ---

  /// What came so far is being seen to.
  void OnTurn() { wants_turn_ = false; }
  /// What is computed next is for these answers.
  void Watch(const std::vector<uint32_t>& ids);
  /// It may be cut for what is urgent until then.
  void CutUntil(Clock::time_point time) { cut_until_ = time; }
  bool AllAborted() const;

  /// ggml's abort callback; `self` is a StepWatch.
  static bool ShouldStop(void* self);

 private:
  using Flag = std::shared_ptr<std::atomic<bool>>;

  std::mutex mutex_;  // guards flags_
  std::map<uint32_t, Flag> flags_;
  std::atomic<bool> wants_turn_{false};
  std::atomic<bool> stop_now_{false};
  std::vector<Flag> watched_;    // engine thread only
  Clock::time_point cut_until_;  // engine thread only
};

}  // namespace phi2
