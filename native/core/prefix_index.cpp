#include "core/prefix_index.h"

#include <algorithm>

namespace phi2 {
namespace {

size_t CommonPrefix(const std::vector<llama_token>& a, const std::vector<llama_token>& b) {
  const size_t n = std::min(a.size(), b.size());
  return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(n), b.begin()).first - a.begin());
}

}  // namespace

std::optional<PrefixIndex::Placement> PrefixIndex::Place(const std::vector<llama_token>& prompt, size_t cells,
                                                         bool may_reuse) {
  int32_t best = -1;
  size_t best_length = 0;
  for (size_t i = 0; may_reuse && i < slots_.size(); ++i) {
    const size_t length = CommonPrefix(slots_[i].tokens, prompt);
    if (length > best_length) {
      best_length = length;
      best = static_cast<int32_t>(i);
    }
  }

  Placement placement;
  placement.reuse = prompt.empty() ? 0 : std::min(best_length, prompt.size() - 1);
  const std::vector<Slot> before = slots_;  // Place either succeeds or changes nothing

  // A conversation that goes on takes over its own sequence; a prompt that shares only a beginning copies it.
  const auto at = [&](int32_t slot) -> Slot& { return slots_[static_cast<size_t>(slot)]; };
  const bool goes_on = best >= 0 && !at(best).busy && best_length == at(best).tokens.size();
  placement.slot = goes_on ? best : FindFree();
  if (placement.slot < 0) {
    placement.slot = OldestIdle(best);
    if (placement.slot >= 0) Evict(placement.slot, placement);
  }
  // Room is made from the oldest; when only the source itself is left to give, it is taken over.
  while (placement.slot >= 0 && placement.slot != best && Used() + cells > n_cells_) {
    const int32_t oldest = OldestIdle(best);
    if (oldest < 0) break;
    Evict(oldest, placement);
  }
  const bool source_idle = best >= 0 && !at(best).busy;
  if (source_idle && placement.slot != best && (placement.slot < 0 || Used() + cells > n_cells_)) placement.slot = best;
  if (placement.slot >= 0 && placement.slot == best) {
    at(best).tokens.clear();  // its cells are counted as the reservation below
    while (Used() + cells > n_cells_) {
      const int32_t oldest = OldestIdle(best);
      if (oldest < 0) break;
      Evict(oldest, placement);
    }
  }
  if (placement.slot < 0 || Used() + cells > n_cells_) {
    slots_ = before;
    return std::nullopt;
  }

  if (best >= 0 && placement.slot != best && placement.reuse > 0) placement.copy_from = best;
  Slot& slot = at(placement.slot);
  slot.busy = true;
  slot.reserved = cells;
  slot.tokens.assign(prompt.begin(), prompt.begin() + static_cast<ptrdiff_t>(placement.reuse));
  slot.last_used = ++clock_;
  return placement;
}

void PrefixIndex::Update(int32_t slot, const std::vector<llama_token>& tokens, size_t n) {
  std::vector<llama_token>& known = slots_[static_cast<size_t>(slot)].tokens;
  n = std::min(n, tokens.size());
  if (n < known.size()) known.resize(n);
  known.insert(known.end(), tokens.begin() + static_cast<ptrdiff_t>(known.size()), tokens.begin() + static_cast<ptrdiff_t>(n));
}

void PrefixIndex::Release(int32_t slot, const std::vector<llama_token>& tokens, size_t n) {
  Update(slot, tokens, n);
  Slot& released = slots_[static_cast<size_t>(slot)];
  released.busy = false;
  released.reserved = 0;
  released.last_used = ++clock_;
}

std::vector<int32_t> PrefixIndex::EvictIdle() {
  Placement placement;
  for (int32_t slot = OldestIdle(-1); slot >= 0; slot = OldestIdle(-1)) Evict(slot, placement);
  return placement.evicted;
}

size_t PrefixIndex::cached_sequences() const {
  return static_cast<size_t>(
      std::count_if(slots_.begin(), slots_.end(), [](const Slot& s) { return !s.busy && !s.tokens.empty(); }));
}

size_t PrefixIndex::cached_tokens() const {
  size_t n = 0;
  for (const Slot& slot : slots_) n += slot.tokens.size();
  return n;
}

size_t PrefixIndex::Used() const {
  size_t n = 0;
  for (const Slot& slot : slots_) n += slot.busy ? slot.reserved : slot.tokens.size();
  return n;
}

int32_t PrefixIndex::FindFree() const {
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].busy && slots_[i].tokens.empty()) return static_cast<int32_t>(i);
  }
  return -1;
}

int32_t PrefixIndex::OldestIdle(int32_t except) const {
  int32_t oldest = -1;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (static_cast<int32_t>(i) == except || slots_[i].busy || slots_[i].tokens.empty()) continue;
    if (oldest < 0 || slots_[i].last_used < slots_[static_cast<size_t>(oldest)].last_used) oldest = static_cast<int32_t>(i);
  }
  return oldest;
}

void PrefixIndex::Evict(int32_t slot, Placement& placement) {
  slots_[static_cast<size_t>(slot)].tokens.clear();
  placement.evicted.push_back(slot);
}

}  // namespace phi2
