#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>

#include "core/sequence.h"

namespace phi2 {

/// Requests that wait for a place, in the order in which they get one. Engine thread only.
class RequestQueue {
 public:
  void Push(std::shared_ptr<Sequence> sequence) { waiting_.push_back(std::move(sequence)); }

  bool empty() const { return waiting_.empty(); }
  size_t size() const { return waiting_.size(); }
  Sequence& front() const { return *waiting_.front(); }
  std::shared_ptr<Sequence> PopFront();

  /// Null if none has this id.
  Sequence* Find(uint32_t id) const;
  /// Takes the request out of the queue; null if none has this id.
  std::shared_ptr<Sequence> Remove(uint32_t id);

 private:
  std::deque<std::shared_ptr<Sequence>> waiting_;
};

}  // namespace phi2
