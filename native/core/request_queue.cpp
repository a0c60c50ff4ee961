#include "core/request_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace phi2 {

void RequestQueue::Push(std::shared_ptr<Sequence> sequence) {
  const auto comes_before = [](const std::shared_ptr<Sequence>& a, const std::shared_ptr<Sequence>& b) {
    return a->priority() != b->priority() ? a->priority() > b->priority() : a->id() < b->id();
  };
  const auto place = std::upper_bound(waiting_.begin(), waiting_.end(), sequence, comes_before);
  waiting_.insert(place, std::move(sequence));
}

std::shared_ptr<Sequence> RequestQueue::Take(size_t i) {
  std::shared_ptr<Sequence> taken = std::move(waiting_[i]);
  waiting_.erase(waiting_.begin() + static_cast<ptrdiff_t>(i));
  return taken;
}

std::vector<std::shared_ptr<Sequence>> RequestQueue::TakeAll() { return std::exchange(waiting_, {}); }

Sequence* RequestQueue::Find(uint32_t id) const {
  const size_t i = IndexOf(id);
  return i < waiting_.size() ? waiting_[i].get() : nullptr;
}

std::shared_ptr<Sequence> RequestQueue::Remove(uint32_t id) {
  const size_t i = IndexOf(id);
  return i < waiting_.size() ? Take(i) : nullptr;
}

size_t RequestQueue::IndexOf(uint32_t id) const {
  const auto found = std::find_if(waiting_.begin(), waiting_.end(), [id](const auto& s) { return s->id() == id; });
  return static_cast<size_t>(found - waiting_.begin());
}

}  // namespace phi2
