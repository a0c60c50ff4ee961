#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "check.h"
#include "core/prefix_index.h"

namespace phi2::test {

using Tokens = std::vector<llama_token>;
using Ids = std::vector<int32_t>;

using Placement = PrefixIndex::Placement;

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

inline bool Holds(const Ids& ids, int32_t id) { return std::find(ids.begin(), ids.end(), id) != ids.end(); }

/// What the engine's cache would hold, and what PrefixIndex promises about every placement in it, by looking at
/// everything.
class PrefixIndexModel {
 public:
  PrefixIndexModel(size_t n_slots, size_t n_cells) : slots_(n_slots), n_cells_(n_cells) {}

  void CheckPlace(const std::optional<Placement>& place, const Tokens& prompt, size_t cells, bool may_reuse) {
    CHECK_EQ(place.has_value(), CountIdle() > 0 && Reserved() + cells <= n_cells_);
    if (!place) return;
    const auto n_slots = static_cast<int32_t>(slots_.size());
    CHECK(place->slot >= 0 && place->slot < n_slots && !at(place->slot).busy);
    CHECK(place->copy_from >= kNone && place->copy_from < n_slots && place->copy_from != place->slot);

    size_t longest = 0;
    for (const Slot& slot : slots_) longest = std::max(longest, CommonPrefix(slot.tokens, prompt));
    CHECK_EQ(place->reuse, may_reuse ? std::min(longest, prompt.size() - 1) : 0);
    CHECK(place->copy_from == kNone || place->reuse > 0);
    CheckTakeOver(*place, prompt, cells, may_reuse);
    CheckEvicted(*place, cells);

    Carry(*place);
    CHECK_EQ(at(place->slot).tokens, Prefix(prompt, place->reuse));
    at(place->slot).busy = true;
    at(place->slot).reserved = cells;
    at(place->slot).prompt = prompt;
  }

  /// The busy sequence generates, and may lose tokens again; returns what it then consists of.
  const Tokens& Continue(int32_t id, size_t n, std::mt19937& random) {
    Slot& slot = at(id);
    Tokens all = slot.prompt;
    all.insert(all.end(), slot.tokens.begin() + static_cast<ptrdiff_t>(std::min(slot.tokens.size(), all.size())),
               slot.tokens.end());
    while (all.size() < n) all.push_back(static_cast<llama_token>(random() % 2));
    slot.prompt = all;
    slot.tokens = Prefix(all, n);
    return slot.prompt;
  }

  void Release(int32_t id) {
    at(id).busy = false;
    at(id).reserved = 0;
    at(id).prompt.clear();
    at(id).last_used = ++clock_;
  }

  /// In the order of their last use.
  Ids TakeIdle() {
    Ids idle;
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (!slots_[i].busy && !slots_[i].tokens.empty()) idle.push_back(static_cast<int32_t>(i));
    }
    std::sort(idle.begin(), idle.end(), [this](int32_t a, int32_t b) { return at(a).last_used < at(b).last_used; });
    for (const int32_t id : idle) at(id).tokens.clear();
    return idle;
  }

  void CheckCounts(const PrefixIndex& index) const {
    CHECK(Used() <= n_cells_);
    size_t sequences = 0;
    size_t tokens = 0;
    for (const Slot& slot : slots_) {
      if (!slot.busy && !slot.tokens.empty()) ++sequences;
      tokens += slot.tokens.size();
      CHECK(!slot.busy || slot.tokens.size() <= slot.reserved);
    }
    CHECK_EQ(index.cached_sequences(), sequences);
    CHECK_EQ(index.cached_tokens(), tokens);
  }

  Ids Busy() const {
    Ids busy;
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (slots_[i].busy) busy.push_back(static_cast<int32_t>(i));
    }
    return busy;
  }

  size_t reserved(int32_t id) const { return slots_[static_cast<size_t>(id)].reserved; }
  const Tokens& tokens(int32_t id) const { return slots_[static_cast<size_t>(id)].tokens; }

 private:
  struct Slot {
    bool busy = false;
    size_t reserved = 0;
    Tokens prompt;  // of a busy one, and what it generated
    Tokens tokens;  // in the cache
    uint64_t last_used = 0;
  };

  Slot& at(int32_t id) { return slots_[static_cast<size_t>(id)]; }

  size_t CountIdle() const {
    return static_cast<size_t>(std::count_if(slots_.begin(), slots_.end(), [](const Slot& s) { return !s.busy; }));
  }

  size_t Reserved() const {
    size_t n = 0;
    for (const Slot& slot : slots_) n += slot.reserved;
    return n;
  }

  size_t Used() const {
    size_t n = Reserved();
    for (const Slot& slot : slots_) n += slot.busy ? 0 : slot.tokens.size();
    return n;
  }

  static bool GoesOn(const Slot& slot, const Tokens& prompt, size_t reuse) {
    return !slot.busy && std::min(CommonPrefix(slot.tokens, prompt), prompt.size() - 1) == reuse &&
           CommonPrefix(slot.tokens, prompt) == slot.tokens.size();
  }

  /// A sequence is taken over if it goes on, or if it could not stay beside its copy; otherwise it is copied from.
  void CheckTakeOver(const Placement& place, const Tokens& prompt, size_t cells, bool may_reuse) {
    if (!may_reuse || place.reuse == 0) return;
    if (std::any_of(slots_.begin(), slots_.end(), [&](const Slot& s) { return GoesOn(s, prompt, place.reuse); })) {
      CHECK(GoesOn(at(place.slot), prompt, place.reuse));
      CHECK_EQ(place.copy_from, kNone);
    } else if (place.copy_from == kNone) {
      CHECK(CountIdle() == 1 || Reserved() + at(place.slot).tokens.size() + cells > n_cells_);
    }
  }

  void CheckEvicted(const Placement& place, size_t cells) {
    uint64_t last = 0;
    for (const int32_t id : place.evicted) {
      CHECK(!at(id).busy && !at(id).tokens.empty());
      CHECK(id != place.copy_from);
      CHECK(id != place.slot || place.copy_from != kNone || place.reuse == 0);
      CHECK(at(id).last_used > last);
      last = at(id).last_used;
    }
    size_t used = Used();
    bool has_free = false;
    for (size_t i = 0; i < slots_.size(); ++i) {
      const auto id = static_cast<int32_t>(i);
      const bool is_cached = !slots_[i].busy && !slots_[i].tokens.empty();
      has_free |= !slots_[i].busy && slots_[i].tokens.empty();
      if (Holds(place.evicted, id)) used -= slots_[i].tokens.size();
      if (is_cached && !Holds(place.evicted, id) && id != place.copy_from && id != place.slot) {
        CHECK(slots_[i].last_used > last);
      }
    }
    const bool taken_over = place.copy_from == kNone && place.reuse > 0;
    if (taken_over) used -= at(place.slot).tokens.size();
    CHECK(used + cells <= n_cells_);
    if (place.evicted.empty()) return;
    // The last eviction was needed: for its cells, or as the only one for its slot.
    const int32_t youngest = place.evicted.back();
    CHECK(used + at(youngest).tokens.size() + cells > n_cells_ ||
          (place.evicted.size() == 1 && youngest == place.slot && !has_free));
  }

  /// As the engine does it.
  void Carry(const Placement& place) {
    for (const int32_t id : place.evicted) at(id).tokens.clear();
    if (place.copy_from >= 0) {
      at(place.slot).tokens = Prefix(at(place.copy_from).tokens, place.reuse);
    } else {
      at(place.slot).tokens = Prefix(at(place.slot).tokens, place.reuse);
    }
  }

  std::vector<Slot> slots_;
  size_t n_cells_;
  uint64_t clock_ = 0;
};

}  // namespace phi2::test
