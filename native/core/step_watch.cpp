#include "core/step_watch.h"

#include <algorithm>

namespace phi2 {

void StepWatch::Add(uint32_t id) {
  std::lock_guard<std::mutex> lock(mutex_);
  flags_[id] = std::make_shared<std::atomic<bool>>(false);
}

void StepWatch::Remove(uint32_t id) {
  std::lock_guard<std::mutex> lock(mutex_);
  flags_.erase(id);
}

bool StepWatch::Abort(uint32_t id) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto flag = flags_.find(id);
  if (flag == flags_.end()) return false;
  flag->second->store(true);
  return true;
}

void StepWatch::Watch(const std::vector<uint32_t>& ids) {
  std::lock_guard<std::mutex> lock(mutex_);
  watched_.clear();
  for (const uint32_t id : ids) watched_.push_back(flags_.at(id));
}

bool StepWatch::AllAborted() const {
  return std::all_of(watched_.begin(), watched_.end(),
                     [](const Flag& flag) { return flag->load(std::memory_order_relaxed); });
}

bool StepWatch::ShouldStop(void* self) {
  const auto& watch = *static_cast<const StepWatch*>(self);
  if (watch.stop_now_.load(std::memory_order_relaxed)) return true;
  if (watch.watched_.empty()) return false;  // the context's own warm-up
  if (watch.wants_turn_.load(std::memory_order_relaxed) && Clock::now() < watch.cut_until_) return true;
  return watch.AllAborted();
}

}  // namespace phi2
