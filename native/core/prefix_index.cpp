#include "core/prefix_index.h"

#include <algorithm>
#include <stdexcept>

namespace phi2 {
namespace {

size_t CommonPrefix(const std::vector<llama_token>& a, const std::vector<llama_token>& b) {
  const size_t n = std::min(a.size(), b.size());
  return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(n), b.begin()).first -
                             a.begin());
}

}  // namespace

/// Cells that the busy sequence does not hold yet but can be sure of.
size_t PrefixIndex::Slot::outstanding() const {
  const size_t due = std::max(promised, claimed);
  return due > cells.size() ? due - cells.size() : 0;
}

PrefixIndex::PrefixIndex(int32_t n_slots, size_t n_cells)
    : slots_(static_cast<size_t>(n_slots)), cells_(n_cells), free_(n_cells), n_cells_(n_cells) {
  for (size_t i = 0; i < n_cells; ++i) free_[i] = static_cast<uint32_t>(n_cells - 1 - i);
}

std::optional<PrefixIndex::Placement> PrefixIndex::Place(const Wish& wish) {
  if (n_idle_slots() == 0) return std::nullopt;
  const Match match = LongestMatch(wish);
  // Whatever is idle can be given up, so only busy sequences make a request wait. Cells that it shares with a busy one
  // are there already; cells of an idle one become busy.
  const size_t n_new = wish.cells - match.length + match.n_new;
  if (n_busy_cells_ + Outstanding() + n_new > n_cells_) return std::nullopt;

  Placement placement;
  placement.reuse = match.length;
  placement.slot = ChooseSlot(match);
  Slot& slot = at(placement.slot);
  if (placement.slot == match.slot) {
    Truncate(slot, match.length);
  } else {
    Truncate(slot, 0);
    placement.copy_from = match.slot;
    if (match.slot >= 0) {
      Slot& source = at(match.slot);
      source.last_used = ++clock_;
      slot.tokens.assign(wish.tokens.begin(), wish.tokens.begin() + static_cast<ptrdiff_t>(match.length));
      for (size_t i = 0; i < match.length; ++i) Hold(slot, source.cells[i]);
    }
  }
  SetBusy(slot, true);
  slot.group = wish.group;
  slot.promised = wish.cells;
  return placement;
}

bool PrefixIndex::CouldPlaceWithout(const std::vector<int32_t>& slots, const Wish& wish) const {
  PrefixIndex without = *this;
  for (const int32_t slot : slots) {
    without.SetBusy(without.at(slot), false);
    without.at(slot).promised = without.at(slot).claimed = 0;
  }
  return without.Place(wish).has_value();
}

bool PrefixIndex::Claim(int32_t slot, size_t total) {
  Slot& claimant = at(slot);
  const size_t before = claimant.claimed;
  claimant.claimed = std::max(claimant.claimed, total);
  if (total <= claimant.promised || n_busy_cells_ + Outstanding() <= n_cells_) return true;
  claimant.claimed = before;
  return false;
}

std::vector<PrefixIndex::Cut> PrefixIndex::MakeRoom() {
  size_t wanted = 0;
  for (const Slot& slot : slots_) wanted += slot.claimed - std::min(slot.claimed, slot.cells.size());
  std::vector<Cut> cuts;
  if (wanted <= free_.size()) return cuts;
  for (const int32_t id : IdleByAge()) {
    Slot& slot = at(id);
    const size_t before = slot.cells.size();
    // What a busy sequence shares stays in any case.
    while (free_.size() < wanted && !slot.cells.empty() && cells_[slot.cells.back()].busy_holders == 0) Pop(slot);
    if (slot.cells.size() < before) cuts.push_back({id, slot.cells.size()});
    if (free_.size() >= wanted) break;
  }
  return cuts;
}

void PrefixIndex::Update(int32_t slot, const std::vector<llama_token>& tokens, size_t n) {
  Slot& updated = at(slot);
  n = std::min(n, tokens.size());
  Truncate(updated, n);
  for (size_t i = updated.tokens.size(); i < n; ++i) Push(updated, tokens[i]);
  updated.claimed = 0;
}

void PrefixIndex::Release(int32_t slot, const std::vector<llama_token>& tokens, size_t n) {
  Update(slot, tokens, n);
  Slot& released = at(slot);
  SetBusy(released, false);
  released.promised = 0;
  released.last_used = ++clock_;
}

std::vector<int32_t> PrefixIndex::EvictIdle() {
  std::vector<int32_t> evicted = IdleByAge();
  for (const int32_t id : evicted) Truncate(at(id), 0);
  return evicted;
}

PrefixIndex::Found PrefixIndex::Find(const std::vector<llama_token>& tokens) const {
  Found found;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const size_t length = CommonPrefix(slots_[i].tokens, tokens);
    if (length > found.length) found = {static_cast<int32_t>(i), length};
  }
  return found;
}

size_t PrefixIndex::cached_sequences() const { return IdleByAge().size(); }

size_t PrefixIndex::n_idle_slots() const {
  return static_cast<size_t>(std::count_if(slots_.begin(), slots_.end(), [](const Slot& s) { return !s.busy; }));
}

/// Of equal lengths one that busy sequences hold anyway is best: it costs no cells. Then one that goes on: it costs no
/// slot besides the request's own.
PrefixIndex::Match PrefixIndex::LongestMatch(const Wish& wish) const {
  Match best;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (wish.only_group && slot.group != wish.group) continue;
    const size_t common = CommonPrefix(slot.tokens, wish.tokens);
    Match match{static_cast<int32_t>(i), std::min(common, wish.tokens.size() - 1), 0, false};
    if (match.length == 0 || match.length < best.length) continue;
    for (size_t k = 0; k < match.length; ++k) match.n_new += cells_[slot.cells[k]].busy_holders == 0 ? 1 : 0;
    match.goes_on = !slot.busy && common == slot.tokens.size();
    const bool cheaper = match.n_new < best.n_new || (match.n_new == best.n_new && match.goes_on && !best.goes_on);
    if (match.length > best.length || cheaper) best = match;
  }
  return best;
}

/// A conversation that goes on takes over its own sequence. A request that shares only a beginning gets another slot:
/// an empty one, else that of the least recently used sequence; if none but its source is idle, it takes over that.
int32_t PrefixIndex::ChooseSlot(const Match& match) const {
  if (match.goes_on) return match.slot;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].busy && slots_[i].tokens.empty()) return static_cast<int32_t>(i);
  }
  for (const int32_t id : IdleByAge()) {
    if (id != match.slot) return id;
  }
  return match.slot;
}

size_t PrefixIndex::Outstanding() const {
  size_t n = 0;
  for (const Slot& slot : slots_) n += slot.outstanding();
  return n;
}

/// Idle sequences of at least one token, the least recently used first.
std::vector<int32_t> PrefixIndex::IdleByAge() const {
  std::vector<int32_t> idle;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].busy && !slots_[i].tokens.empty()) idle.push_back(static_cast<int32_t>(i));
  }
  std::sort(idle.begin(), idle.end(), [this](int32_t a, int32_t b) {
    return slots_[static_cast<size_t>(a)].last_used < slots_[static_cast<size_t>(b)].last_used;
  });
  return idle;
}

void PrefixIndex::Hold(Slot& slot, uint32_t cell) {
  slot.cells.push_back(cell);
  ++cells_[cell].holders;
  if (slot.busy && cells_[cell].busy_holders++ == 0) ++n_busy_cells_;
}

void PrefixIndex::Push(Slot& slot, llama_token token) {
  if (free_.empty()) throw std::logic_error("The KV cache holds more than it has cells.");
  slot.tokens.push_back(token);
  const uint32_t cell = free_.back();
  free_.pop_back();
  Hold(slot, cell);
}

void PrefixIndex::Pop(Slot& slot) {
  const uint32_t cell = slot.cells.back();
  slot.cells.pop_back();
  slot.tokens.pop_back();
  if (slot.busy && --cells_[cell].busy_holders == 0) --n_busy_cells_;
  if (--cells_[cell].holders == 0) free_.push_back(cell);
}

void PrefixIndex::Truncate(Slot& slot, size_t n) {
  while (slot.cells.size() > n) Pop(slot);
}

void PrefixIndex::SetBusy(Slot& slot, bool busy) {
  if (slot.busy == busy) return;
  slot.busy = busy;
  for (const uint32_t cell : slot.cells) {
    uint8_t& holders = cells_[cell].busy_holders;
    if (busy && holders++ == 0) ++n_busy_cells_;
    if (!busy && --holders == 0) --n_busy_cells_;
  }
}

}  // namespace phi2
