#pragma once

#include <condition_variable>
#include <mutex>

namespace phi2 {

/// How other threads end long work that heeds them only here and there. Any thread.
class Cancellation {
 public:
  void Cancel() {
    const std::lock_guard<std::mutex> lock(mutex_);
    cancelled_ = true;
    left_ = false;
    changed_.notify_all();
  }

  bool cancelled() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return cancelled_;
  }

  /// When the process ends: whether the work is at something that takes long but uses nothing that the end destroys,
  /// and so may be left alone. It then stops behind it, for ever unless it is cancelled after all.
  bool Leave() {
    const std::lock_guard<std::mutex> lock(mutex_);
    left_ = leavable_;
    return left_;
  }

  /// The working thread, before such a thing.
  void BeginLeavable() {
    const std::lock_guard<std::mutex> lock(mutex_);
    leavable_ = true;
  }

  /// The working thread, behind it, or anywhere else.
  void EndLeavable() {
    std::unique_lock<std::mutex> lock(mutex_);
    leavable_ = false;
    changed_.wait(lock, [this] { return !left_; });
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool cancelled_ = false;
  bool leavable_ = false;
  bool left_ = false;
};

}  // namespace phi2
