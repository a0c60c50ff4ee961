#include "core/request_queue.h"

#include <algorithm>
#include <utility>

namespace phi2 {

std::shared_ptr<Sequence> RequestQueue::PopFront() {
  std::shared_ptr<Sequence> first = std::move(waiting_.front());
  waiting_.pop_front();
  return first;
}

Sequence* RequestQueue::Find(uint32_t id) const {
  const auto found = std::find_if(waiting_.begin(), waiting_.end(), [id](const auto& s) { return s->id() == id; });
  return found == waiting_.end() ? nullptr : found->get();
}

std::shared_ptr<Sequence> RequestQueue::Remove(uint32_t id) {
  const auto found = std::find_if(waiting_.begin(), waiting_.end(), [id](const auto& s) { return s->id() == id; });
  if (found == waiting_.end()) return nullptr;
  std::shared_ptr<Sequence> removed = std::move(*found);
  waiting_.erase(found);
  return removed;
}

}  // namespace phi2
