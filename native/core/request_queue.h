#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/sequence.h"

namespace phi2 {

/// Sequences that wait for a place, in the order in which they get one: a higher priority first, then who was submitted
/// first. A preempted sequence so comes back before those that had to wait for it. Engine thread only.
class RequestQueue {
 public:
  void Push(std::shared_ptr<Sequence> sequence);

  bool empty() const { return waiting_.empty(); }
  size_t size() const { return waiting_.size(); }
  Sequence& at(size_t i) const { return *waiting_[i]; }
  std::shared_ptr<Sequence> Take(size_t i);
  std::vector<std::shared_ptr<Sequence>> TakeAll();

  /// Null if none has this id.
  Sequence* Find(uint32_t id) const;
  /// Takes the sequence out of the queue; null if none has this id.
  std::shared_ptr<Sequence> Remove(uint32_t id);

 private:
  size_t IndexOf(uint32_t id) const;

  std::vector<std::shared_ptr<Sequence>> waiting_;
};

}  // namespace phi2
