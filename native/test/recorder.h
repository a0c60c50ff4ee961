#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "core/engine.h"

namespace phi2::test {

/// Keeps what an engine tells, checks the order in which it may tell it, and lets tests wait for it. Any thread.
class Recorder : public EventSink {
 public:
  struct Heard {
    std::string text;
    std::vector<llama_token> tokens;
    size_t n_chunks = 0;
    bool ended = false;
    Ending ending;
  };
  using Hook = std::function<void(uint32_t id)>;

  /// Called on the engine thread, outside of the recorder's lock. Set before anything is submitted.
  Hook on_chunk;
  Hook on_end;

  void OnChunk(uint32_t id, Chunk chunk) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      Heard& heard = heard_[id];
      CHECK(!heard.ended);
      CHECK(!chunk.empty());
      heard.text += chunk.text;
      heard.tokens.insert(heard.tokens.end(), chunk.tokens.begin(), chunk.tokens.end());
      ++heard.n_chunks;
      changed_.notify_all();
    }
    if (on_chunk) on_chunk(id);
  }

  void OnEnd(uint32_t id, Ending ending) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      Heard& heard = heard_[id];
      CHECK(!heard.ended);
      heard.ended = true;
      heard.ending = std::move(ending);
      ++n_ended_;
      changed_.notify_all();
    }
    if (on_end) on_end(id);
  }

  Heard Of(uint32_t id) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return heard_[id];
  }

  size_t n_ended() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return n_ended_;
  }

  Heard WaitForEnd(uint32_t id) {
    Wait("the end of a request", [&] { return heard_[id].ended; });
    return Of(id);
  }

  void WaitForChunks(uint32_t id, size_t n) {
    Wait("chunks of a request", [&] { return heard_[id].n_chunks >= n || heard_[id].ended; });
  }

  void WaitForEnds(size_t n) {
    Wait("the end of all requests", [&] { return n_ended_ >= n; });
  }

 private:
  template <typename Condition>
  void Wait(const char* what, const Condition& condition) {
    std::unique_lock<std::mutex> lock(mutex_);
    // system_clock: GCC 12's ThreadSanitizer does not know the wait on a steady clock and sees double locks there.
    const auto deadline = std::chrono::system_clock::now() + std::chrono::minutes(PHI2_TEST_PATIENCE);
    if (!changed_.wait_until(lock, deadline, condition)) Fail(__FILE__, __LINE__, std::string("no sign of ") + what);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint32_t, Heard> heard_;
  size_t n_ended_ = 0;
};

}  // namespace phi2::test
