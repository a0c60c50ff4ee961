#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>
#include <set>
#include <vector>

#include "check.h"
#include "core/prefix_index.h"

namespace phi2::test {

using Tokens = std::vector<llama_token>;
using Ids = std::vector<int32_t>;

using Cut = PrefixIndex::Cut;
using Placement = PrefixIndex::Placement;
using Wish = PrefixIndex::Wish;

constexpr int32_t kNone = -1;

inline Tokens Prefix(const Tokens& tokens, size_t n) {
  CHECK(n <= tokens.size());
  return {tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(n)};
}

inline size_t CommonPrefix(const Tokens& a, const Tokens& b) {
  size_t n = 0;
  while (n < a.size() && n < b.size() && a[n] == b[n]) ++n;
  return n;
}

/// The cache of the engine as such, with numbered cells, and what PrefixIndex promises about it, by looking at
/// everything.
class PrefixIndexModel {
 public:
  PrefixIndexModel(size_t n_slots, size_t n_cells) : slots_(n_slots), n_cells_(n_cells) {}

  void CheckPlace(const std::optional<Placement>& place, const Wish& wish) {
    size_t longest = 0;
    for (const Slot& slot : slots_) longest = std::max(longest, Usable(slot, wish));
    // Of the sequences with the longest beginning that one is taken which costs the fewest cells.
    size_t fewest = n_cells_ + 1;
    bool goes_on = false;
    for (const Slot& slot : slots_) {
      if (Usable(slot, wish) != longest) continue;
      const size_t due = Due(slot, longest, wish);
      if (due > fewest) continue;
      goes_on = (due == fewest && goes_on) || GoesOn(slot, wish, longest);
      fewest = due;
    }
    CHECK_EQ(place.has_value(), CountIdle() > 0 && fewest <= n_cells_);
    if (!place) return;

    const auto n_slots = static_cast<int32_t>(slots_.size());
    CHECK(place->slot >= 0 && place->slot < n_slots && !at(place->slot).busy);
    CHECK(place->copy_from >= kNone && place->copy_from < n_slots && place->copy_from != place->slot);
    CHECK_EQ(place->reuse, longest);
    CHECK(place->copy_from == kNone || longest > 0);
    if (longest > 0) {
      const int32_t source = place->copy_from == kNone ? place->slot : place->copy_from;
      CHECK_EQ(Usable(at(source), wish), longest);
      CHECK_EQ(Due(at(source), longest, wish), fewest);
      CheckTakenOver(*place, wish, goes_on);
    }
    if (place->copy_from != kNone || longest == 0) CheckSlotIsOldest(*place);
    Carry(*place, wish);
  }

  /// What a busy sequence claims must be had exactly when nobody else may need it.
  void CheckClaim(bool granted, int32_t id, size_t total) {
    Slot& slot = at(id);
    const size_t before = slot.claimed;
    slot.claimed = std::max(slot.claimed, total);
    CHECK_EQ(granted, total <= slot.promised || Committed() <= n_cells_);
    if (!granted) slot.claimed = before;
  }

  /// Only idle sequences are cut, the oldest first, each as far as it helps and only the last one less than that.
  void CheckCuts(const std::vector<Cut>& cuts) {
    uint64_t last_used = 0;
    for (const Cut& cut : cuts) {
      Slot& slot = at(cut.slot);
      CHECK(!slot.busy && cut.keep < slot.cells.size());
      CHECK(slot.last_used > last_used);
      last_used = slot.last_used;
      CHECK(Free() < Wanted());  // there was need
      if (cut.slot != cuts.back().slot) CHECK(cut.keep == 0 || IsBusy(slot.cells[cut.keep - 1]));
      const size_t freed = FreeWithout(slot, cut.keep);
      if (cut.slot == cuts.back().slot) CHECK(FreeWithout(slot, cut.keep + 1) < Wanted() && freed >= Wanted());
      CHECK(!IsBusy(slot.cells[cut.keep]));
      slot.cells.resize(cut.keep);
      slot.tokens.resize(cut.keep);
    }
    CHECK(Free() >= Wanted());
  }

  /// The busy sequence generates, and may lose tokens again; returns what it then consists of.
  const Tokens& Continue(int32_t id, size_t n, std::mt19937& random) {
    Slot& slot = at(id);
    while (slot.whole.size() < n) slot.whole.push_back(static_cast<llama_token>(random() % 2));
    slot.tokens = Prefix(slot.whole, n);
    slot.cells.resize(std::min(n, slot.cells.size()));
    while (slot.cells.size() < n) slot.cells.push_back(next_cell_++);
    slot.claimed = 0;
    return slot.whole;
  }

  void Release(int32_t id) {
    Slot& slot = at(id);
    slot.busy = false;
    slot.promised = slot.claimed = 0;
    slot.whole.clear();
    slot.last_used = ++clock_;
  }

  /// In the order of their last use.
  Ids TakeIdle() {
    Ids idle = Idle();
    for (const int32_t id : idle) Empty(at(id));
    return idle;
  }

  void CheckCounts(const PrefixIndex& index) const {
    CHECK(Committed() <= n_cells_);
    CHECK_EQ(index.cached_sequences(), Idle().size());
    CHECK_EQ(index.used_cells(), Cells(false).size());
    CHECK(index.used_cells() <= n_cells_);
    CHECK_EQ(index.n_idle_slots(), CountIdle());
  }

  Ids Busy() const {
    Ids busy;
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (slots_[i].busy) busy.push_back(static_cast<int32_t>(i));
    }
    return busy;
  }

  size_t due(int32_t id) const { return std::max(at(id).promised, at(id).claimed); }
  size_t claimed(int32_t id) const { return at(id).claimed; }
  const Tokens& tokens(int32_t id) const { return at(id).tokens; }

 private:
  struct Slot {
    bool busy = false;
    uint32_t group = 0;
    size_t promised = 0;
    size_t claimed = 0;
    Tokens whole;  // of a busy one: what it consists of
    Tokens tokens;
    std::vector<uint64_t> cells;
    uint64_t last_used = 0;
  };

  Slot& at(int32_t id) { return slots_[static_cast<size_t>(id)]; }
  const Slot& at(int32_t id) const { return slots_[static_cast<size_t>(id)]; }

  static void Empty(Slot& slot) {
    slot.tokens.clear();
    slot.cells.clear();
  }

  static size_t Usable(const Slot& slot, const Wish& wish) {
    if (wish.only_group && slot.group != wish.group) return 0;
    return std::min(CommonPrefix(slot.tokens, wish.tokens), wish.tokens.size() - 1);
  }

  static bool GoesOn(const Slot& slot, const Wish& wish, size_t length) {
    return length > 0 && !slot.busy && Usable(slot, wish) == length &&
           CommonPrefix(slot.tokens, wish.tokens) == slot.tokens.size();
  }

  std::set<uint64_t> Cells(bool only_busy) const {
    std::set<uint64_t> cells;
    for (const Slot& slot : slots_) {
      if (slot.busy || !only_busy) cells.insert(slot.cells.begin(), slot.cells.end());
    }
    return cells;
  }

  bool IsBusy(uint64_t cell) const { return Cells(true).count(cell) > 0; }

  /// Cells that busy sequences hold or can be sure of.
  size_t Committed() const {
    size_t n = Cells(true).size();
    for (const Slot& slot : slots_) {
      const size_t due = std::max(slot.promised, slot.claimed);
      if (slot.busy && due > slot.cells.size()) n += due - slot.cells.size();
    }
    return n;
  }

  /// The same once the request shares `length` cells with this slot.
  size_t Due(const Slot& source, size_t length, const Wish& wish) const {
    const std::set<uint64_t> busy = Cells(true);
    size_t n = Committed() + wish.cells - length;
    for (size_t i = 0; i < length; ++i) n += busy.count(source.cells[i]) == 0 ? 1 : 0;
    return n;
  }

  size_t Free() const { return n_cells_ - Cells(false).size(); }

  /// Free cells if only the first `keep` of this slot were kept.
  size_t FreeWithout(const Slot& slot, size_t keep) const {
    std::set<uint64_t> cells;
    for (const Slot& other : slots_) {
      const size_t n = &other == &slot ? std::min(keep, other.cells.size()) : other.cells.size();
      cells.insert(other.cells.begin(), other.cells.begin() + static_cast<ptrdiff_t>(n));
    }
    return n_cells_ - cells.size();
  }

  size_t Wanted() const {
    size_t n = 0;
    for (const Slot& slot : slots_) n += slot.claimed - std::min(slot.claimed, slot.cells.size());
    return n;
  }

  size_t CountIdle() const {
    return static_cast<size_t>(std::count_if(slots_.begin(), slots_.end(), [](const Slot& s) { return !s.busy; }));
  }

  /// In the order of their last use.
  Ids Idle() const {
    Ids idle;
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (!slots_[i].busy && !slots_[i].tokens.empty()) idle.push_back(static_cast<int32_t>(i));
    }
    std::sort(idle.begin(), idle.end(), [this](int32_t a, int32_t b) { return at(a).last_used < at(b).last_used; });
    return idle;
  }

  /// A sequence is taken over if it goes on, or if none but it is idle; otherwise it is copied from.
  void CheckTakenOver(const Placement& place, const Wish& wish, bool goes_on) {
    if (goes_on) {
      CHECK_EQ(place.copy_from, kNone);
      CHECK(GoesOn(at(place.slot), wish, place.reuse));
    } else if (place.copy_from == kNone) {
      CHECK_EQ(CountIdle(), size_t{1});
    }
  }

  /// An empty slot if there is one, else that of the oldest sequence but the source.
  void CheckSlotIsOldest(const Placement& place) {
    const bool has_empty =
        std::any_of(slots_.begin(), slots_.end(), [](const Slot& s) { return !s.busy && s.tokens.empty(); });
    CHECK_EQ(at(place.slot).tokens.empty(), has_empty);
    for (const int32_t id : Idle()) {
      CHECK(has_empty || id == place.copy_from || at(id).last_used >= at(place.slot).last_used);
    }
  }

  /// As the engine does it.
  void Carry(const Placement& place, const Wish& wish) {
    Slot& slot = at(place.slot);
    if (place.copy_from >= 0) {
      Slot& source = at(place.copy_from);
      if (!source.busy) source.last_used = ++clock_;
      slot.tokens = source.tokens;
      slot.cells = source.cells;
    }
    slot.tokens.resize(place.reuse);
    slot.cells.resize(place.reuse);
    CHECK_EQ(slot.tokens, Prefix(wish.tokens, place.reuse));
    slot.busy = true;
    slot.group = wish.group;
    slot.promised = wish.cells;
    slot.whole = wish.tokens;
  }

  std::vector<Slot> slots_;
  size_t n_cells_;
  uint64_t next_cell_ = 0;
  uint64_t clock_ = 0;
};

}  // namespace phi2::test
