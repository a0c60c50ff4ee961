#include "core/prefix_index.h"

#include <algorithm>
#include <limits>

namespace phi2 {
namespace {

size_t CommonPrefix(const std::vector<llama_token>& a, const std::vector<llama_token>& b) {
  const size_t n = std::min(a.size(), b.size());
  return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(n), b.begin()).first -
                             a.begin());
}

}  // namespace

std::optional<PrefixIndex::Placement> PrefixIndex::Place(const std::vector<llama_token>& prompt, size_t cells,
                                                         bool may_reuse) {
  // Whatever is idle can be given up, so only busy sequences make a prompt wait.
  const bool has_idle = std::any_of(slots_.begin(), slots_.end(), [](const Slot& s) { return !s.busy; });
  if (!has_idle || Reserved() + cells > n_cells_) return std::nullopt;

  const Match match = may_reuse ? LongestMatch(prompt) : Match{};
  Placement placement;
  placement.reuse = match.length;
  // A conversation that goes on takes over its own sequence; a prompt that shares only a beginning copies it, unless
  // there is no room for both.
  if (match.slot >= 0 && (match.goes_on || !FitsBeside(match.slot, cells))) {
    placement.slot = match.slot;
    at(placement.slot).tokens.clear();  // its cells are counted as the reservation below
  } else {
    placement.copy_from = match.slot;
    placement.slot = FindFree();
    if (placement.slot < 0) {
      placement.slot = OldestIdle(match.slot);
      Evict(placement.slot, placement);
    }
  }
  while (Used() + cells > n_cells_) Evict(OldestIdle(match.slot), placement);

  Slot& slot = at(placement.slot);
  slot.busy = true;
  slot.reserved = cells;
  slot.tokens.assign(prompt.begin(), prompt.begin() + static_cast<ptrdiff_t>(placement.reuse));
  return placement;
}

void PrefixIndex::Update(int32_t slot, const std::vector<llama_token>& tokens, size_t n) {
  std::vector<llama_token>& known = at(slot).tokens;
  n = std::min(n, tokens.size());
  if (n < known.size()) known.resize(n);
  known.insert(known.end(), tokens.begin() + static_cast<ptrdiff_t>(known.size()),
               tokens.begin() + static_cast<ptrdiff_t>(n));
}

void PrefixIndex::Release(int32_t slot, const std::vector<llama_token>& tokens, size_t n) {
  Update(slot, tokens, n);
  Slot& released = at(slot);
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

/// Of equal lengths a sequence that goes on is best: it needs no cells besides the request's own.
PrefixIndex::Match PrefixIndex::LongestMatch(const std::vector<llama_token>& prompt) const {
  Match best;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const size_t common = CommonPrefix(slots_[i].tokens, prompt);
    const size_t length = std::min(common, prompt.size() - 1);
    if (length == 0 || length < best.length) continue;
    const bool goes_on = !slots_[i].busy && common == slots_[i].tokens.size();
    if (length > best.length || (goes_on && !best.goes_on)) best = {static_cast<int32_t>(i), length, goes_on};
  }
  return best;
}

/// Whether a request of `cells` has room while the source of its prefix stays.
bool PrefixIndex::FitsBeside(int32_t source, size_t cells) const {
  const Slot& kept = slots_[static_cast<size_t>(source)];
  if (kept.busy) return true;  // counted already
  const auto n_idle = std::count_if(slots_.begin(), slots_.end(), [](const Slot& s) { return !s.busy; });
  return n_idle > 1 && Reserved() + kept.tokens.size() + cells <= n_cells_;
}

size_t PrefixIndex::Reserved() const {
  size_t n = 0;
  for (const Slot& slot : slots_) n += slot.reserved;
  return n;
}

size_t PrefixIndex::Used() const {
  size_t n = Reserved();
  for (const Slot& slot : slots_) n += slot.busy ? 0 : slot.tokens.size();
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
  uint64_t last_used = std::numeric_limits<uint64_t>::max();
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (static_cast<int32_t>(i) == except || slot.busy || slot.tokens.empty() || slot.last_used > last_used) continue;
    oldest = static_cast<int32_t>(i);
    last_used = slot.last_used;
  }
  return oldest;
}

void PrefixIndex::Evict(int32_t slot, Placement& placement) {
  at(slot).tokens.clear();
  placement.evicted.push_back(slot);
}

}  // namespace phi2
